package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// makeTimeout bounds the making of one project; others may wait for it.
const makeTimeout = 10 * time.Second

// ProjectFounder makes a project together with its first members, or fails with
// [policy.ErrConflict] when it is there. It is one step: a second upload of the
// same push must not meet the project without its member.
type ProjectFounder interface {
	FoundProject(ctx context.Context, p policy.Project, members ...Member) error
}

// MakerConfig is what a Maker is made of; all of it is required.
type MakerConfig struct {
	Gate      Gate
	Directory policy.Directory
	Projects  ProjectFounder
	// Auto is the operator's setting: whose pushes may make a project ("admins",
	// "writers", "off"). The rules read it.
	Auto string
}

// Maker makes the project that a push asks for, as a management call of its own.
type Maker struct {
	cfg    MakerConfig
	flight singleflight.Group
}

// NewMaker makes a Maker, or says what is missing.
func NewMaker(cfg MakerConfig) (*Maker, error) {
	if cfg.Gate == nil || cfg.Directory == nil || cfg.Projects == nil || cfg.Auto == "" {
		return nil, fmt.Errorf("make a maker of projects: a part is missing: %w", policy.ErrInvalid)
	}
	return &Maker{cfg: cfg}, nil
}

// EnsureProject makes the project, private, when it does not exist and the caller
// may make it; otherwise it is [policy.ErrNotFound], with the answer to give.
// Parallel uploads of one caller share one decision and one making. A project that
// is there costs a look in memory.
func (m *Maker) EnsureProject(ctx context.Context, c authn.Caller, workspace, name string) error {
	if workspace == "" {
		workspace = policy.DefaultWorkspace
	}
	exists, err := m.exists(workspace, name)
	if err != nil || exists {
		return err
	}
	if err := CheckProjectName(name); err != nil {
		return errcode.New(errcode.NameInvalid, err.Error())
	}
	key := fmt.Sprintf("%q %q %q %q", workspace, name, c.Principal.Issuer, c.Principal.ID)
	_, err, _ = m.flight.Do(key, func() (any, error) {
		// Others wait for this one: it does not end with the first one's connection.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), makeTimeout)
		defer cancel()
		return nil, m.make(ctx, c, workspace, name)
	})
	return err
}

func (m *Maker) exists(workspace, name string) (bool, error) {
	view, err := m.cfg.Directory.View()
	if err != nil {
		return false, fmt.Errorf("read the projects: %w", err)
	}
	_, ok := view.Project(workspace, name)
	return ok, nil
}

func (m *Maker) make(ctx context.Context, c authn.Caller, workspace, name string) error {
	if exists, err := m.exists(workspace, name); err != nil || exists {
		return err
	}
	p := policy.Project{Workspace: workspace, Name: name, Owner: c.Principal.ID}
	d, err := m.cfg.Gate.Admit(ctx, policy.Request{
		ID: c.RequestID, Principal: c.Principal, Action: policy.AdminAPI, Purpose: policy.Use,
		HTTP:       policy.HTTP{ClientIP: c.ClientIP, PeerSPIFFE: c.PeerSPIFFE},
		Repository: policy.Repository{Workspace: p.Workspace, Name: p.Name},
		Admin: &policy.AdminCall{
			Resource: "project", Verb: "create", ID: p.Name, After: projectOf(p), Auto: m.cfg.Auto,
		},
	})
	if err != nil {
		return fmt.Errorf("decide about making project %s: %w", p.Name, err)
	}
	if !d.Allowed() {
		if c.Principal.Anonymous() {
			return errcode.Unauthorized("", false).Because(policy.ErrNotFound)
		}
		unknown := errcode.New(errcode.NameUnknown, "the project does not exist: "+p.Name)
		return errcode.Denied(d, unknown).Because(fmt.Errorf("project %s: %w", p.Name, policy.ErrNotFound))
	}
	err = m.cfg.Projects.FoundProject(ctx, p, m.founders(c.Principal, p)...)
	if errors.Is(err, policy.ErrConflict) {
		return nil // another replica was first, or another caller whose project it is
	}
	if err != nil {
		return fmt.Errorf("make project %s: %w", p.Name, err)
	}
	return nil
}

// founders are those to whom a project belongs that their push made, where others
// than administrators may make one: it would be of no use to them without a role.
func (m *Maker) founders(who policy.Principal, p policy.Project) []Member {
	if m.cfg.Auto != "writers" || who.Kind != policy.KindUser {
		return nil
	}
	return []Member{{Project: p.Name, Issuer: who.Issuer, Kind: memberUser, Name: who.ID, Role: Roles()[0]}}
}
