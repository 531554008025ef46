package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Prefix is the path below which every route lies.
const Prefix = "/api/v1"

// Gate judges every call.
type Gate interface {
	Admit(ctx context.Context, req policy.Request) (policy.Decision, error)
}

// Accounts are the people that the gateway itself knows.
type Accounts interface {
	Users(ctx context.Context, workspace string) ([]User, error)
	User(ctx context.Context, workspace, name string) (User, error)
	// CreateUser fails with [policy.ErrConflict] for a name that is taken.
	CreateUser(ctx context.Context, workspace string, u User, passwordHash string) error
}

// Credentials change what an account may log in with.
type Credentials interface {
	SetPasswordHash(ctx context.Context, workspace, name, passwordHash string) error
	// SetUserDisabled fails with [policy.ErrConflict] for the last enabled administrator.
	SetUserDisabled(ctx context.Context, workspace, name string, disabled bool) error
}

// Passwords makes the hash that is stored for a password.
type Passwords interface {
	Hash(password string) (string, error)
}

// Projects are the projects of a workspace.
type Projects interface {
	Projects(ctx context.Context, workspace string) ([]policy.Project, error)
	Project(ctx context.Context, workspace, name string) (policy.Project, error)
	// CreateProject fails with [policy.ErrConflict] for a name that is taken.
	CreateProject(ctx context.Context, p policy.Project) error
	UpdateProject(ctx context.Context, p policy.Project) error
}

// Members are the roles that people and groups have in a project.
type Members interface {
	Members(ctx context.Context, workspace, project string) ([]Member, error)
	SetMember(ctx context.Context, workspace string, m Member) error
	RemoveMember(ctx context.Context, workspace string, m Member) error
}

// Decisions is the record of what was decided.
type Decisions interface {
	// Tail answers the records that match, the newest first; with After the oldest first.
	Tail(ctx context.Context, q DecisionQuery) ([]DecisionRecord, error)
	Show(ctx context.Context, workspace, id string) (DecisionRecord, error)
	// Export yields the lines of an export of the records that match, the oldest first.
	Export(ctx context.Context, q DecisionQuery, yield func(any) error) error
	// Verify recomputes every hash of the record; what it finds is in the report.
	Verify(ctx context.Context) (Verification, error)
}

// Maintenance looks after the server itself.
type Maintenance interface {
	Status(ctx context.Context) Status
	// Reindex rebuilds the index from storage alone.
	Reindex(ctx context.Context) (ReindexReport, error)
}

// Config is what the API is made of; all of it is required but Now.
type Config struct {
	Gate        Gate
	Accounts    Accounts
	Credentials Credentials
	Passwords   Passwords
	Projects    Projects
	Members     Members
	Waivers     Waivers
	// WaiverSources are what else is known about waivers.
	WaiverSources WaiverSources
	Decisions     Decisions
	Maintenance   Maintenance
	Shadow        Shadow
	Inventory     Inventory
	Explainer     Explainer
	Stage         Stage
	BreakGlass    BreakGlassConfig
	// Harbor is nil for an API without the part that Harbor has too.
	Harbor *HarborConfig
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// API serves the routes of the table in routes.go.
type API struct {
	cfg    Config
	harbor HarborConfig
	mux    *http.ServeMux
	// openapi is the description of the routes that there are.
	openapi []byte
	// one is held by a change that must find things as they were judged.
	one sync.Mutex
	// verifying is held while the record of decisions is verified: that reads all
	// of it, and two at once would read no more.
	verifying sync.Mutex
	// explaining is held by whoever has something explained.
	explaining chan struct{}
	// streaming counts the streams under way by who reads them.
	streams   sync.Mutex
	streaming map[string]int
}

// New makes the API, or says what is missing.
func New(cfg Config) (*API, error) {
	for _, part := range []any{
		cfg.Gate, cfg.Accounts, cfg.Credentials, cfg.Passwords, cfg.Projects, cfg.Members,
		cfg.Waivers, cfg.WaiverSources, cfg.Decisions, cfg.Maintenance, cfg.Shadow, cfg.Inventory, cfg.Explainer, cfg.Stage,
	} {
		if part == nil {
			return nil, fmt.Errorf("make the management API: a part is missing: %w", policy.ErrInvalid)
		}
	}
	if err := cfg.BreakGlass.check(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), explaining: make(chan struct{}, 1), streaming: map[string]int{}}
	all := routes()
	if cfg.Harbor != nil {
		if err := cfg.Harbor.check(); err != nil {
			return nil, err
		}
		a.harbor = *cfg.Harbor
		all = append(append(all, harborRoutes()...), identityRoutes()...)
	}
	for _, r := range all {
		a.mux.Handle(r.method+" "+r.path(), a.handler(r))
	}
	var err error
	a.openapi, err = openAPI(all)
	return a, err
}

// Serve answers one call, or gives back the error that the edge is to write.
// Nothing has been written then.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, c authn.Caller) error {
	if c.Scoped {
		return errcode.New(errcode.DeniedCode, "a registry token does not reach the management API: use a password")
	}
	h, pattern := a.mux.Handler(r)
	if pattern == "" {
		return a.unknown(w, r, h)
	}
	cl := &call{caller: c, now: a.cfg.Now().UTC()}
	if err := a.workspaceExists(r.Context(), cl.workspace()); err != nil {
		return err
	}
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, cl)))
	return cl.err
}

// unknown tells a path that is not there from a method that a path does not
// have: the mux knows, and says so by the status that it would write.
func (a *API) unknown(_ http.ResponseWriter, r *http.Request, h http.Handler) error {
	probe := &probe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		return errcode.New(errcode.Unsupported, "the method is not supported here").
			WithStatus(http.StatusMethodNotAllowed).With("Allow", probe.header.Get("Allow"))
	}
	return errcode.New(errcode.NotFound, "no such page in the management API")
}

type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

type callKey struct{}

// handler is the one order of things for every route: read and check the input,
// have it decided, do it, answer.
func (a *API) handler(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c, ok := req.Context().Value(callKey{}).(*call)
		if !ok {
			return
		}
		c.r = req
		c.err = a.serve(w, c, r)
	})
}

func (a *API) serve(w http.ResponseWriter, c *call, r route) error {
	if err := c.read(r); err != nil {
		return err
	}
	p, planErr := r.plan(a, c)
	if planErr != nil && !p.located() && !errors.Is(planErr, policy.ErrNotFound) && !errors.Is(planErr, policy.ErrConflict) {
		return invalid("", planErr)
	}
	// What is not there, and how a call does not fit to what is, is told only to
	// those who may ask for it: the refusal would tell everybody that it is there.
	if err := a.admit(c, r, p); err != nil {
		return err
	}
	if planErr != nil {
		return invalid(about(r, p), planErr)
	}
	out, err := p.do(c.r.Context())
	if err != nil {
		return invalid(about(r, p), err)
	}
	return answer(w, c.r, r.status, out)
}

// admit asks the gate, in each project of the plan. The API knows no other way to a yes.
func (a *API) admit(c *call, r route, p plan) error {
	for i, project := range append([]string{p.project}, p.also...) {
		if i > 0 && project == p.project {
			continue
		}
		if err := a.admitIn(c, r, p, project); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) admitIn(c *call, r route, p plan, project string) error {
	verb := cmp.Or(p.verb, r.verb)
	req := policy.Request{
		ID: c.caller.RequestID, At: c.now, Principal: c.caller.Principal,
		Action: r.action, Purpose: policy.Use,
		HTTP: policy.HTTP{
			Method: c.r.Method, Path: c.r.URL.Path, ClientIP: c.caller.ClientIP,
			UserAgent: c.r.UserAgent(), Host: c.r.Host, PeerSPIFFE: c.caller.PeerSPIFFE,
		},
		Repository: policy.Repository{Workspace: c.workspace(), Name: project},
		Admin: &policy.AdminCall{
			Resource: r.resource, Verb: verb, ID: p.id, Before: p.before, After: p.after,
		},
	}
	d, err := a.cfg.Gate.Admit(c.r.Context(), req)
	if err != nil {
		return fmt.Errorf("decide about %s %s: %w", verb, r.resource, err)
	}
	if d.Allowed() {
		return nil
	}
	if c.caller.Principal.Anonymous() {
		return errcode.Unauthorized("", false)
	}
	return errcode.Denied(d, errcode.New(errcode.NotFound, "not found"))
}

// about names what a call is about, for those who may know.
func about(r route, p plan) string {
	what := r.resource
	if id := cmp.Or(p.id, p.project); id != "" {
		what += " " + id
	}
	if p.project != "" && p.id != "" && p.id != p.project && !isNowhere(p.project) {
		what += " in project " + p.project
	}
	return what + ": "
}

// invalid gives the classes that a caller can do something about their words,
// after what the call is about; everything else stays what it is.
func invalid(what string, err error) error {
	var coded *errcode.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, policy.ErrInvalid):
		return errcode.New(errcode.BadRequest, err.Error())
	case errors.Is(err, policy.ErrNotFound):
		return errcode.New(errcode.NotFound, what+"not found").Because(err)
	case errors.Is(err, policy.ErrConflict):
		return errcode.New(errcode.Conflict, what+"it is there already").Because(err)
	default:
		return err
	}
}
