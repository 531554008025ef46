package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Stage is who and what a what-if can be about.
type Stage interface {
	// Somebody is a person or a robot as they would sign in; it fails with
	// [policy.ErrNotFound] for nobody. No credential is made or read.
	Somebody(ctx context.Context, workspace, issuer, name string) (policy.Principal, error)
	ResolveTag(ctx context.Context, repo policy.Repository, tag string) (digest.Digest, error)
	Artifact(ctx context.Context, repo policy.Repository, d digest.Digest) (*policy.Artifact, error)
}

// WhatIf asks what would be decided if somebody did something.
type WhatIf struct {
	// Image is PROJECT/NAME, with a :TAG or an @DIGEST; a host before it is left out.
	// Empty for an action without a repository.
	Image string `json:"image,omitempty"`
	// User is who would ask, as Issuer knows them; empty for an anonymous client.
	User string `json:"user,omitempty"`
	// Issuer is "local" when it is empty.
	Issuer string        `json:"issuer,omitempty"`
	Action policy.Action `json:"action"`
	// Project is where the question belongs when there is no image.
	Project string `json:"project,omitempty"`
}

// supposable are the actions that need no more than somebody and an image, with the
// method that a client would use.
var supposable = map[policy.Action]string{
	policy.ManifestPull: http.MethodGet, policy.ManifestPush: http.MethodPut, policy.ManifestDelete: http.MethodDelete,
	policy.TagDelete: http.MethodDelete, policy.TagsList: http.MethodGet, policy.ReferrersList: http.MethodGet,
	policy.BlobPush: http.MethodPost, policy.UploadStatus: http.MethodGet, policy.CatalogList: http.MethodGet,
	policy.RegistryPing: http.MethodGet, policy.SessionLogin: http.MethodGet,
}

func (a *API) whatIf(c *call) (plan, error) {
	body, _ := c.body.(*WhatIf)
	if body.Issuer == "" {
		body.Issuer = policy.LocalIssuer
	}
	repo, ref, err := body.parse(c)
	if err != nil {
		return plan{}, err
	}
	req := policy.Request{
		At: c.now, Action: body.Action, Purpose: policy.Use, Repository: repo, Reference: ref,
		HTTP:      policy.HTTP{Method: supposable[body.Action], Path: "/v2/", Host: c.r.Host},
		Principal: policy.Principal{Workspace: c.workspace()},
	}
	after := map[string]any{"image": body.Image, "user": body.User, "issuer": body.Issuer, "action": string(body.Action), "member": false}
	p := plan{project: repo.Project(), id: body.User, after: after}
	if p.project == "" {
		p.project = body.Project
	}
	if body.User != "" {
		if req.Principal, err = a.cfg.Stage.Somebody(c.r.Context(), c.workspace(), body.Issuer, body.User); err != nil {
			if p.project == "" {
				p.project = nowhere(body.User).Name
			}
			return p, err
		}
	}
	// Who is a member decides what an administrator of the project may ask: about
	// others nothing, not whether they are there either.
	if p.project != "" && body.User != "" {
		probe := req
		probe.Repository = policy.Repository{Workspace: c.workspace(), Name: p.project + "/-"}
		f, err := a.cfg.Explainer.Suppose(probe)
		if err != nil {
			return p, err
		}
		// The administrator of the system has a role everywhere and is a member nowhere.
		role := slices.ContainsFunc(f.Subject.Roles, func(r string) bool { return r != "admin" })
		after["member"] = f.ProjectExists && (role || len(f.Subject.Grants) > 0)
	}
	p.do = func(ctx context.Context) (any, error) { return a.suppose(ctx, req) }
	return p, nil
}

// parse says what image the question is about and how it is named.
func (b *WhatIf) parse(c *call) (policy.Repository, policy.Reference, error) {
	none := func(err error) (policy.Repository, policy.Reference, error) {
		return policy.Repository{}, policy.Reference{}, err
	}
	if supposable[b.Action] == "" {
		return none(refuse("%s is not an action that can be supposed", show(string(b.Action))))
	}
	for what, s := range map[string]string{"a user": b.User, "an issuer": b.Issuer} {
		if err := checkText(what, s, maxName); err != nil {
			return none(err)
		}
	}
	if b.Project != "" {
		if err := CheckProjectName(b.Project); err != nil {
			return none(err)
		}
	}
	alone := b.Action == policy.CatalogList || b.Action == policy.RegistryPing || b.Action == policy.SessionLogin
	if alone {
		if b.Image != "" {
			return none(refuse("%s is about no image", b.Action))
		}
		return none(nil)
	}
	name, ref, err := imageRef(b.Image, c.r.Host)
	if err != nil {
		return none(err)
	}
	repo := policy.Repository{Workspace: c.workspace(), Name: name}
	if b.Project != "" && b.Project != repo.Project() {
		return none(refuse("the image is not in the project %s", show(b.Project)))
	}
	ofTag := []policy.Action{policy.TagDelete}
	ofManifest := []policy.Action{policy.ManifestPull, policy.ManifestPush, policy.ManifestDelete}
	switch {
	case slices.Contains(ofTag, b.Action) && ref.Kind != policy.ByTag:
		return none(refuse("%s is about a tag: PROJECT/NAME:TAG", b.Action))
	case slices.Contains(ofManifest, b.Action) && ref.Kind == "":
		return none(refuse("%s is about a tag or a digest: PROJECT/NAME:TAG", b.Action))
	}
	return repo, ref, nil
}

// tagName is the distribution-spec's form of a tag.
var tagName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// imageRef reads PROJECT/NAME[:TAG|@DIGEST], and leaves out a host before it: one
// with a port, localhost, or the one that was called.
func imageRef(s, host string) (string, policy.Reference, error) {
	bad := func() (string, policy.Reference, error) {
		return "", policy.Reference{}, refuse("%s is not PROJECT/NAME:TAG or PROJECT/NAME@DIGEST", show(s))
	}
	name := s
	if first, rest, ok := strings.Cut(s, "/"); ok &&
		(strings.Contains(first, ":") || first == "localhost" || first == host) && strings.Contains(rest, "/") {
		name = rest
	}
	var ref policy.Reference
	if at := strings.IndexByte(name, '@'); at >= 0 {
		ref = policy.Reference{Kind: policy.ByDigest, Value: name[at+1:]}
		if digest.Digest(ref.Value).Validate() != nil {
			return bad()
		}
		name, _, _ = strings.Cut(name[:at], ":")
	} else if before, tag, ok := strings.Cut(name, ":"); ok {
		ref = policy.Reference{Kind: policy.ByTag, Value: tag}
		if name = before; !tagName.MatchString(tag) {
			return bad()
		}
	}
	parts := strings.Split(name, "/")
	if len(name) > maxName || len(parts) < 2 || slices.ContainsFunc(parts, func(p string) bool { return !projectName.MatchString(p) }) {
		return bad()
	}
	return name, ref, nil
}

// suppose finds the image, as a client's request would, and explains what would be
// decided.
func (a *API) suppose(ctx context.Context, req policy.Request) (ExplainedDecision, error) {
	var out ExplainedDecision
	err := a.look(ctx, &req)
	switch {
	case errors.Is(err, policy.ErrNotFound) && req.Action == policy.ManifestPush:
		out.Notes = append(out.Notes, "the image is not there yet: rules about its content could not look at it")
	case errors.Is(err, policy.ErrNotFound):
		return out, errcode.New(errcode.NotFound, "there is no image "+req.Repository.Name+" "+req.Reference.Value+": not found")
	case err != nil:
		return out, err
	}
	f, err := a.cfg.Explainer.Suppose(req)
	if err != nil {
		return out, err
	}
	x, err := a.whyOf(ctx, policy.Document(f), f.Project.Packs)
	if err != nil {
		return out, fmt.Errorf("explain: %w", err)
	}
	d := x.Decision
	out.Explanation, out.Supposed, out.SameBundle = &x, true, true
	out.Decision = DecisionRecord{
		At: req.At, Workspace: req.Principal.Workspace, Action: req.Action, Purpose: req.Purpose,
		Subject: req.Principal.ID, Issuer: req.Principal.Issuer, Project: req.Repository.Project(),
		Repository: req.Repository.Name, Reference: req.Reference.Value, Verdict: d.Verdict.String(),
		Deny: d.Deny, Warn: d.Warn, Dryrun: d.Dryrun, Waived: d.Waived, Visible: d.Visible, Message: d.Message, BreakGlass: d.BreakGlass, Revision: x.Revision,
	}
	if req.Artifact != nil {
		out.Decision.Digest = string(req.Artifact.Digest)
	}
	return out, nil
}

// look fills in what the index knows of the image.
func (a *API) look(ctx context.Context, req *policy.Request) error {
	d := digest.Digest(req.Reference.Value)
	switch req.Reference.Kind {
	case "":
		return nil
	case policy.ByTag:
		var err error
		if d, err = a.cfg.Stage.ResolveTag(ctx, req.Repository, req.Reference.Value); err != nil {
			return err
		}
		req.Reference.Current = d
	}
	found, err := a.cfg.Stage.Artifact(ctx, req.Repository, d)
	if err != nil {
		return err
	}
	image := *found
	if req.Action == policy.ManifestPull && image.Role.Accessory() {
		req.Purpose = policy.Inspect
	}
	req.Artifact = &image
	return nil
}
