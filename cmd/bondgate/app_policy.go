package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/storage/metadata"
)

// openPolicy joins the rules, the people and the record to the one gate.
func (a *App) openPolicy(ctx context.Context) (err error) {
	registry, counts := newMetrics()
	a.metrics = registry
	a.record, err = decisionlog.Open(ctx, a.recordConfig())
	if err != nil {
		return fmt.Errorf("open the record of decisions: %w", err)
	}
	a.onClose(a.record.Close)
	if err := a.metrics.Register(droppedCounter(a.record.Dropped)); err != nil {
		return err
	}
	if err := a.openBundle(ctx); err != nil {
		return err
	}
	if err := a.openShadow(ctx); err != nil {
		return err
	}
	glass, err := newGlassMetrics(registry, a.log, func() int { return a.store.OpenGlass(time.Now()) })
	if err != nil {
		return err
	}
	a.gate, err = policy.NewGate(policy.GateConfig{
		Bundles: a.bundle, Directory: a.store, Recorder: recorder(a.record),
		Deadline: time.Duration(a.cfg.Policy.Deadline), Witness: a.shadow.witness(),
		Observe: func(o policy.Observation) { counts.observe(o); glass.observe(o) },
	})
	if err != nil {
		return err
	}
	a.parts = []gateway.Part{
		{Name: "policy", Check: a.checkPolicy, Note: a.noteOfPolicy},
		{Name: "database", Check: a.store.Check},
		{Name: "storage", Check: a.engine.Check},
		{Name: "decisions", Check: func(context.Context) error { return a.record.Ready() }},
		{Name: "index", Check: func(context.Context) error { return nil }, Note: a.noteOfIndex},
	}
	if a.shadow.enabled() {
		a.parts = append(a.parts, gateway.Part{Name: "shadow", Check: func(context.Context) error { return nil }, Note: a.shadow.note})
	}
	return nil
}

// recordConfig keeps decisions where the people are: in files in the data
// folder, or in the same PostgreSQL.
func (a *App) recordConfig() decisionlog.Config {
	cfg := decisionlog.Config{
		Dir:           filepath.Join(a.cfg.DataDir, "decisions"),
		RetentionDays: a.cfg.Decisions.RetentionDays, Logger: a.log, Rules: a.recordRules,
	}
	if !strings.HasPrefix(a.cfg.Database.DSN, "sqlite:") {
		cfg.DSN = a.cfg.Database.DSN
	}
	return cfg
}

func (a *App) openBundle(ctx context.Context) (err error) {
	a.bundle, err = bundle.NewFolder(ctx, bundle.FolderConfig{Dir: a.cfg.Policy.Dir, Log: a.log})
	if err != nil {
		return fmt.Errorf("open the policy: %w", err)
	}
	a.onClose(func(context.Context) error { return a.bundle.Close() })
	a.waivers = a.newWaiverWatch()
	return errors.Join(
		a.metrics.Register(policyGauge(func() bool { return a.bundle.Status().Err != "" })),
		a.metrics.Register(a.waivers),
	)
}

func (a *App) checkPolicy(context.Context) error {
	_, err := a.bundle.Current()
	return err
}

func (a *App) noteOfPolicy() string {
	s := a.bundle.Status()
	if s.Err != "" {
		return "the last edit was refused, " + s.Revision + " is in force: " + s.Err
	}
	if s.Warnings != "" {
		return "revision " + s.Revision + ": " + strings.ReplaceAll(s.Warnings, "\n", "; ")
	}
	return "revision " + s.Revision
}

func (a *App) noteOfIndex() string {
	if a.stray.Load() {
		return "storage has images that the index does not know: run bondgate reindex"
	}
	return ""
}

// The kinds of secret that the server makes for itself: what signs upload sessions,
// and what seals the sessions of browsers.
const (
	uploadSecretKind  = "upload-session"
	sessionSecretKind = "browser-session"
)

// ownSecret is a key of 32 bytes that is made once and kept, so that what it signed
// goes on after a restart and on another replica.
func ownSecret(ctx context.Context, store *metadata.Store, kind string) ([]byte, error) {
	for range 2 {
		all, err := store.Secrets(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("read the key %s: %w", kind, err)
		}
		if len(all) > 0 {
			return all[0].Data, nil
		}
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
		err = store.AddSecret(ctx, metadata.Secret{Kind: kind, ID: "1", Data: key, Created: time.Now()})
		if err != nil && !errors.Is(err, policy.ErrConflict) {
			return nil, fmt.Errorf("keep the key %s: %w", kind, err)
		}
	}
	return nil, fmt.Errorf("keep the key %s: %w", kind, policy.ErrUnavailable)
}
