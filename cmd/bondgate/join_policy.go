package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/shadow"
	"github.com/bondgate/bondgate/storage/metadata"
)

// shadowing is the bundle that runs beside the one in force, with the folder that it
// comes from. Nil is a server without one.
type shadowing struct {
	shadow *shadow.Shadow
	folder *bundle.Folder
}

// openShadow begins to judge by the bundle that would be next. A folder that is
// broken or not there keeps no server from starting.
func (a *App) openShadow(ctx context.Context) error {
	cfg := a.cfg.Policy.Shadow
	if cfg.Dir == "" {
		return nil
	}
	log := a.log.With("shadow", cfg.Dir)
	folder, err := bundle.NewFolder(ctx, bundle.FolderConfig{
		Dir: cfg.Dir, Forgiving: true, OnReload: func(s bundle.Status) { tellShadow(log, s) },
	})
	if err != nil {
		return fmt.Errorf("open the shadow policy: %w", err)
	}
	a.onClose(func(context.Context) error { return folder.Close() })
	tellShadow(log, folder.Status())
	s := &shadowing{folder: folder}
	s.shadow, err = shadow.New(shadow.Config{
		Current: s.current, Share: cfg.Share, Deadline: time.Duration(a.cfg.Policy.Deadline),
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.shadow.Run(running) // it ends when it is told to
	}()
	a.onClose(func(context.Context) error { stop(); <-done; return nil })
	a.shadow = s
	return a.metrics.Register(shadowMetrics{s.shadow})
}

func tellShadow(log *slog.Logger, s bundle.Status) {
	switch {
	case s.Err == "":
		log.Info("shadow policy is loaded: it decides nothing", "revision", s.Revision)
	case s.Revision == "":
		log.Error("shadow policy is broken and nothing is judged by it; requests are decided as ever", "error", s.Err)
	default:
		log.Error("shadow policy is broken, its last good revision is judged by; requests are decided as ever",
			"revision", s.Revision, "error", s.Err)
	}
}

func (s *shadowing) current() (shadow.Judge, error) {
	ev, err := s.folder.Current()
	if err != nil {
		return nil, err
	}
	judge, ok := ev.(shadow.Judge)
	if !ok {
		return nil, fmt.Errorf("the shadow policy cannot judge what was recorded: %w", policy.ErrUnavailable)
	}
	return judge, nil
}

func (s *shadowing) enabled() bool { return s != nil }

// witness is what the gate shows its decisions to; nil for nobody.
func (s *shadowing) witness() func(policy.Facts, policy.Decision) {
	if s == nil {
		return nil
	}
	return s.shadow.Witness
}

func (s *shadowing) note() string {
	st := s.folder.Status()
	switch {
	case st.Err == "":
		return "revision " + st.Revision + " decides nothing"
	case st.Revision == "":
		return "broken, nothing is judged by it: " + st.Err
	default:
		return "the last edit is broken, revision " + st.Revision + " is judged by: " + st.Err
	}
}

// ShadowReport is what the shadow would have decided otherwise.
func (s *shadowing) ShadowReport(_ context.Context, workspace, project string) (policy.ShadowReport, error) {
	if s == nil {
		return policy.ShadowReport{Rules: []policy.ShadowRule{}, Samples: []policy.Difference{}}, nil
	}
	r, st := s.shadow.Report(workspace, project), s.folder.Status()
	if r.Revision == "" {
		r.Revision = st.Revision
	}
	r.Broken = st.Err != ""
	if project == "" {
		r.Error = st.Err
	}
	return r, nil
}

// ResetShadow forgets what was found.
func (s *shadowing) ResetShadow(_ context.Context, workspace string) error {
	if s != nil {
		s.shadow.Reset(workspace)
	}
	return nil
}

// stored is what the index has, as the gate would see it if it were pulled.
type stored struct {
	store    *metadata.Store
	gate     *policy.Gate
	deadline time.Duration
}

func (a *App) inventory() stored {
	return stored{store: a.store, gate: a.gate, deadline: time.Duration(a.cfg.Policy.Deadline)}
}

// An audit works for a stretch and rests for a moment.
const (
	auditStretch = 2 * time.Millisecond
	auditRest    = 200 * time.Microsecond
)

// Inventory judges each image that can be pulled, under each of its tags, or by its
// digest where only an index refers to it.
func (s stored) Inventory(ctx context.Context, workspace, project string, yield func(api.InventoryImage) error) error {
	worked := time.Now()
	return s.store.Inventory(ctx, workspace, project, func(art *policy.Artifact) error {
		// An accessory is read with access rules alone: none about content stops it.
		if art.Role.Accessory() || len(art.Tags) == 0 && len(art.Parents) == 0 {
			return nil
		}
		references := make([]policy.Reference, 0, max(len(art.Tags), 1))
		for _, tag := range art.Tags {
			references = append(references, policy.Reference{Kind: policy.ByTag, Value: tag, Current: art.Digest})
		}
		if len(references) == 0 {
			references = append(references, policy.Reference{Kind: policy.ByDigest, Value: string(art.Digest)})
		}
		for _, ref := range references {
			image, err := s.judge(ctx, art, ref)
			if err != nil {
				return err
			}
			if err := yield(image); err != nil {
				return err
			}
			if now := time.Now(); now.Sub(worked) > auditStretch {
				// Whoever pulls has the next turn: nobody looks at the network while
				// there is work without end.
				time.Sleep(auditRest)
				worked = time.Now()
			}
		}
		return nil
	})
}

// judge is what the bundle in force says of an image when nobody asks. It is no way
// to the image: the answer is for a report.
func (s stored) judge(ctx context.Context, art *policy.Artifact, ref policy.Reference) (api.InventoryImage, error) {
	facts, ev, err := s.gate.Suppose(policy.Request{
		Principal: policy.Principal{Workspace: art.Repository.Workspace, Kind: policy.KindSystem},
		Action:    policy.ManifestPull, Purpose: policy.AuditPurpose,
		Repository: art.Repository, Reference: ref, Artifact: art,
	})
	if err != nil {
		return api.InventoryImage{}, err
	}
	doc := policy.Document(facts)
	raw, err := json.Marshal(doc)
	if err != nil {
		return api.InventoryImage{}, fmt.Errorf("write the input of %s: %w", art.Repository, err)
	}
	image := api.InventoryImage{
		Kind: "image", Project: art.Repository.Project(), Owner: facts.Project.Owner, Repository: art.Repository.Name,
		Reference: ref.Value, Digest: string(art.Digest), Input: raw, Packs: facts.Project.Packs,
	}
	// What was cut short is tried once more, as the gate does: the machine may have stalled.
	for range 2 {
		if image.Now, err = s.decide(ctx, ev, facts, doc); err == nil {
			return image, nil
		}
	}
	if ctx.Err() != nil {
		return api.InventoryImage{}, ctx.Err()
	}
	image.Outage = err.Error()
	return image, nil
}

func (s stored) decide(ctx context.Context, ev policy.Evaluator, f policy.Facts, doc map[string]any) (policy.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, s.deadline)
	defer cancel()
	if judge, ok := ev.(shadow.Judge); ok {
		return judge.DecideInput(ctx, doc)
	}
	return ev.Decide(ctx, f)
}

var _ api.Inventory = stored{}
