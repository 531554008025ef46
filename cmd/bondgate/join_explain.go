package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bondgate/bondgate/gateway/authn/ldap"
	"github.com/bondgate/bondgate/gateway/authn/robot"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
)

// explainer explains by the bundle in force.
type explainer struct {
	bundles policy.Bundles
	gate    *policy.Gate
}

// Explain judges a recorded input: as it is by the bundle that judged it, and put
// before the bundle in force where that is another one.
func (x explainer) Explain(ctx context.Context, input map[string]any, own []policy.Pack) (policy.Explanation, error) {
	ev, err := x.bundles.Current()
	if err != nil {
		return policy.Explanation{}, err
	}
	by, ok := ev.(interface {
		Explain(ctx context.Context, doc map[string]any) (policy.Explanation, error)
	})
	if !ok {
		return policy.Explanation{}, fmt.Errorf("the policy in force explains nothing: %w", policy.ErrUnsupported)
	}
	bundle, _ := input["bundle"].(map[string]any)
	if bundle["revision"] != ev.Revision() {
		input = policy.Transpose(input, own, ev)
	}
	return by.Explain(ctx, input)
}

func (x explainer) Suppose(req policy.Request) (policy.Facts, error) {
	f, _, err := x.gate.Suppose(req)
	return f, err
}

// stage is who and what a what-if can be about: what the store knows.
type stage struct {
	*metadata.Store
	// robots is what the names of robots begin with.
	robots string
}

// Somebody is a person or a robot as they would sign in with a password. Of a person
// of another issuer it knows the groups of the last login and no claims.
func (s stage) Somebody(ctx context.Context, workspace, issuer, name string) (policy.Principal, error) {
	if issuer == robot.Issuer {
		return s.robot(ctx, workspace, name)
	}
	p, err := s.PersonBySubject(ctx, workspace, issuer, name)
	if errors.Is(err, policy.ErrNotFound) {
		if p, err = s.PersonByName(ctx, workspace, name); err == nil && p.Issuer != issuer {
			err = fmt.Errorf("%s of %s: %w", name, issuer, policy.ErrNotFound)
		}
	}
	if err != nil {
		return policy.Principal{}, err
	}
	who := policy.Principal{
		Workspace: workspace, Issuer: p.Issuer, ID: p.Subject, Kind: policy.KindUser, Auth: policy.AuthOIDC, Groups: p.Groups,
	}
	switch {
	case p.Issuer == policy.LocalIssuer:
		who.Auth = policy.AuthBasic
	case strings.HasPrefix(p.Issuer, ldap.IssuerPrefix):
		who.Auth = policy.AuthLDAP
	}
	if p.Name != p.Subject {
		who.Name = p.Name
	}
	return who, nil
}

func (s stage) robot(ctx context.Context, workspace, full string) (policy.Principal, error) {
	rest, ok := strings.CutPrefix(full, s.robots)
	if !ok {
		return policy.Principal{}, fmt.Errorf("robot %s: %w", full, policy.ErrNotFound)
	}
	project, name, ok := strings.Cut(rest, "+")
	if !ok {
		project, name = "", rest
	}
	r, err := s.RobotByName(ctx, workspace, project, name)
	if err != nil {
		return policy.Principal{}, err
	}
	return policy.Principal{
		Workspace: workspace, Issuer: robot.Issuer, ID: full, Kind: policy.KindRobot, Auth: policy.AuthRobot,
		Credential: policy.CredentialRobot + ":" + strconv.FormatInt(r.ID, 10),
	}, nil
}

func (a *App) stage() stage {
	return stage{Store: a.store, robots: a.cfg.Identity.Robots.Prefix}
}
