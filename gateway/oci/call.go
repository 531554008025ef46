package oci

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/ociroute"
	"github.com/bondgate/bondgate/policy"
)

// The actions of a token's scope.
const (
	scopePull   = "pull"
	scopePush   = "push"
	scopeDelete = "delete"
)

// call is one request on its way.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	caller authn.Caller
	route  ociroute.Route
	repo   policy.Repository
}

func (c *call) workspace() string {
	if ws := c.caller.Principal.Workspace; ws != "" {
		return ws
	}
	return policy.DefaultWorkspace
}

func (c *call) head() bool { return c.r.Method == http.MethodHead }

// digest is the digest that the path names.
func (c *call) digest() digest.Digest { return digest.Digest(c.route.Digest) }

// request is a question to the gate about this call; the caller adds what its
// action has.
func (c *call) request(action policy.Action) policy.Request {
	return policy.Request{
		ID: c.caller.RequestID, Principal: c.caller.Principal, Action: action, Purpose: policy.Use, Repository: c.repo,
		HTTP: policy.HTTP{
			Method: c.r.Method, Path: c.r.URL.Path, ClientIP: c.caller.ClientIP,
			UserAgent: c.r.UserAgent(), Host: c.r.Host, PeerSPIFFE: c.caller.PeerSPIFFE,
		},
	}
}

// inspecting reports whether the caller's token carries push: it then reads
// manifests, and asks whether things are there, under access rules alone, or a
// denied tag could never be overwritten by its fix.
func (c *call) inspecting() bool {
	return c.caller.Scoped && c.caller.Carries(c.repo.Name, scopePush)
}

// access is what a token must carry for an action on a repository.
func access(action policy.Action) string {
	switch action {
	case policy.BlobPush, policy.BlobMount, policy.ManifestPush, policy.UploadStatus, policy.UploadCancel:
		return scopePush
	case policy.ManifestDelete, policy.TagDelete, policy.BlobDelete:
		return scopeDelete
	default:
		return scopePull
	}
}

// scope is what a challenge asks for, so that a client gets a token that reaches.
func (c *call) scope(action policy.Action) string {
	switch action {
	case policy.RegistryPing:
		return ""
	case policy.CatalogList:
		return "registry:catalog:*"
	}
	need := access(action)
	if need == scopePush {
		need = scopePull + "," + scopePush // clients look before they push
	}
	scope := "repository:" + c.repo.Name + ":" + need
	if from := c.route.Value("from"); c.route.Kind == ociroute.Mounts && from != c.repo.Name && ociroute.ValidName(from) {
		scope += " repository:" + from + ":" + scopePull // a mount reads there
	}
	return scope
}

// carries asks for a token with another scope when the one at hand does not
// reach as far as the action. It looks at the token alone and reveals nothing.
func (c *call) carries(action policy.Action) error {
	var ok bool
	switch action {
	case policy.RegistryPing:
		ok = true
	case policy.CatalogList:
		ok = c.caller.CarriesScope(authn.ScopeRegistry, "catalog", "*")
	default:
		ok = c.caller.Carries(c.repo.Name, access(action))
	}
	if !ok {
		return errcode.Unauthorized(c.scope(action), true)
	}
	return nil
}

// decide asks the gate and returns nil when the request may go on; its warnings
// are in the answer's header then. notFound is the answer for who may not know
// that the repository exists; nil stands for NAME_UNKNOWN.
func (p *Protocol) decide(ctx context.Context, c *call, req policy.Request, notFound *errcode.Error) error {
	d, err := p.gate.Admit(ctx, req)
	if err != nil {
		return err
	}
	if !d.Allowed() {
		return p.refuse(c, req.Action, d, notFound)
	}
	warn(c.w.Header(), d)
	return nil
}

// refuse is the answer to a denial. Nobody in particular is asked to say who they
// are, when that could help.
func (p *Protocol) refuse(c *call, action policy.Action, d policy.Decision, notFound *errcode.Error) error {
	if c.caller.Principal.Anonymous() && (!d.Visible || aboutAccess(d)) {
		return errcode.Unauthorized(c.scope(action), false)
	}
	if notFound == nil {
		notFound = nameUnknown()
	}
	e := errcode.Denied(d, notFound)
	if c.head() && p.headDeny != 0 && e.Code == errcode.DeniedCode {
		e.Status = p.headDeny
	}
	return e
}

// aboutAccess reports whether a denial is about who asks: then knowing who it is
// may change it.
func aboutAccess(d policy.Decision) bool {
	for _, reason := range d.Deny {
		if reason.Pack == "rbac" {
			return true
		}
	}
	return len(d.Deny) == 0
}

// absent answers for content that is not there: notFound, for who may know what
// is in the repository. Whoever may not gets what they would get if it were there.
func (p *Protocol) absent(ctx context.Context, c *call, req policy.Request, notFound *errcode.Error) error {
	req.Purpose = policy.Inspect
	d, err := p.gate.Admit(ctx, req)
	if err != nil {
		return err
	}
	if d.Allowed() || d.Visible {
		return notFound
	}
	return p.refuse(c, req.Action, d, nil)
}

// ensureProject makes the project of a first push. Where the caller may not make
// it the decision about the push itself says what is to be said.
func (p *Protocol) ensureProject(ctx context.Context, c *call) error {
	if c.caller.Principal.Anonymous() {
		return nil
	}
	err := p.projects.EnsureProject(ctx, c.caller, c.repo.Workspace, c.repo.Project())
	if errors.Is(err, policy.ErrNotFound) {
		return nil
	}
	return err
}

func nameUnknown() *errcode.Error {
	return errcode.New(errcode.NameUnknown, "the repository is not known")
}

func manifestUnknown() *errcode.Error {
	return errcode.New(errcode.ManifestUnknown, "the manifest is not known")
}

func blobUnknown() *errcode.Error {
	return errcode.New(errcode.BlobUnknown, "the blob is not known")
}

func (c *call) writeJSON(status int, contentType string, body []byte) {
	h := c.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	if !c.head() {
		_, _ = c.w.Write(body) // a client that went away is nobody's error
	}
}

// done answers with a status and no body.
func (c *call) done(status int) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		c.w.Header()["Content-Length"] = []string{"0"}
	}
	c.w.WriteHeader(status)
}
