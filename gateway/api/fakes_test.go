package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

var now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// world is everything around the API, in memory.
type world struct {
	// slow holds the inventory, which tells reading that it began; nil for one that does not wait.
	slow    chan struct{}
	reading chan string
	mu      sync.Mutex
	// deny is asked about every request; nil allows.
	deny     func(policy.Request) bool
	asked    []policy.Request
	users    map[string]User
	hashes   map[string]string
	projects map[string]policy.Project
	members  map[string][]Member
	waivers  map[string]policy.Waiver
	files    []policy.Waiver
	glass    map[string]policy.BreakGlass
	// secondPerson makes every grant for an emergency wait for one.
	secondPerson bool
	linked       map[string]string
	records      []DecisionRecord
	outage       error
	made         int
}

func newWorld() *world {
	return &world{
		users: map[string]User{}, hashes: map[string]string{}, projects: map[string]policy.Project{},
		members: map[string][]Member{}, waivers: map[string]policy.Waiver{}, glass: map[string]policy.BreakGlass{},
	}
}

func (w *world) Admit(_ context.Context, r policy.Request) (policy.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r)
	if w.outage != nil {
		return policy.Decision{}, w.outage
	}
	if w.deny != nil && w.deny(r) {
		return policy.Decision{ID: "d1", Visible: true, Deny: []policy.Reason{{Code: "rbac.admin", Message: "no"}}}, nil
	}
	return policy.Decision{ID: "d1", Verdict: policy.Allow}, nil
}

func (w *world) last() policy.Request { return w.asked[len(w.asked)-1] }

func (w *world) Users(context.Context, string) ([]User, error) {
	var out []User
	for _, u := range w.users {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (w *world) User(_ context.Context, _, name string) (User, error) {
	if u, ok := w.users[name]; ok {
		return u, nil
	}
	return User{}, fmt.Errorf("user %s: %w", name, policy.ErrNotFound)
}

func (w *world) CreateUser(_ context.Context, _ string, u User, hash string) error {
	if _, ok := w.users[u.Name]; ok {
		return policy.ErrConflict
	}
	w.users[u.Name], w.hashes[u.Name] = u, hash
	return nil
}

func (w *world) SetPasswordHash(_ context.Context, _, name, hash string) error {
	w.hashes[name] = hash
	return nil
}

func (w *world) SetUserDisabled(_ context.Context, _, name string, disabled bool) error {
	u := w.users[name]
	if u.Admin && disabled {
		return fmt.Errorf("the last administrator: %w", policy.ErrConflict)
	}
	u.Disabled = disabled
	w.users[name] = u
	return nil
}

func (w *world) Hash(password string) (string, error) { return "hash:" + password, nil }

func (w *world) Projects(context.Context, string) ([]policy.Project, error) {
	var out []policy.Project
	for _, p := range w.projects {
		out = append(out, p)
	}
	return out, nil
}

func (w *world) Project(_ context.Context, _, name string) (policy.Project, error) {
	if p, ok := w.projects[name]; ok {
		return p, nil
	}
	return policy.Project{}, fmt.Errorf("project %s: %w", name, policy.ErrNotFound)
}

func (w *world) CreateProject(_ context.Context, p policy.Project) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.projects[p.Name]; ok {
		return policy.ErrConflict
	}
	w.made++
	w.projects[p.Name] = p
	return nil
}

func (w *world) FoundProject(ctx context.Context, p policy.Project, members ...Member) error {
	if err := w.CreateProject(ctx, p); err != nil {
		return err
	}
	for _, m := range members {
		if err := w.SetMember(ctx, p.Workspace, m); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) UpdateProject(_ context.Context, p policy.Project) error {
	w.projects[p.Name] = p
	return nil
}

func (w *world) Members(_ context.Context, _, project string) ([]Member, error) {
	return w.members[project], nil
}

func (w *world) SetMember(_ context.Context, _ string, m Member) error {
	w.members[m.Project] = append(slices.DeleteFunc(w.members[m.Project], func(o Member) bool {
		return memberID(o) == memberID(m)
	}), m)
	return nil
}

func (w *world) RemoveMember(_ context.Context, _ string, m Member) error {
	w.members[m.Project] = slices.DeleteFunc(w.members[m.Project], func(o Member) bool { return memberID(o) == memberID(m) })
	return nil
}

func (w *world) Waivers(context.Context, string) ([]policy.Waiver, error) {
	var out []policy.Waiver
	for _, x := range w.waivers {
		out = append(out, x)
	}
	return out, nil
}

func (w *world) AddWaiver(_ context.Context, x policy.Waiver) (policy.Waiver, error) {
	if _, there := w.waivers[x.ID]; there {
		return x, policy.ErrConflict
	}
	return w.keep(x), nil
}

func (w *world) ChangeWaiver(_ context.Context, x policy.Waiver) (policy.Waiver, error) {
	if w.waivers[x.ID].Version != x.Version {
		return x, policy.ErrConflict
	}
	return w.keep(x), nil
}

func (w *world) keep(x policy.Waiver) policy.Waiver {
	w.made++
	x.Version = fmt.Sprintf("v%d", w.made)
	w.waivers[x.ID] = x
	return x
}

func (w *world) DeleteWaiver(_ context.Context, _, id, version string) error {
	if w.waivers[id].Version != version {
		return policy.ErrConflict
	}
	delete(w.waivers, id)
	return nil
}

func (w *world) FileWaivers() []policy.Waiver { return w.files }

func (w *world) OnePerson(_ context.Context, _ string, a, b policy.Principal) (bool, error) {
	return a.Identity() == b.Identity() || w.linked[a.Identity()] == b.Identity(), nil
}

func (w *world) BreakGlass(_ context.Context, _, id string) (policy.BreakGlass, error) {
	if b, ok := w.glass[id]; ok {
		return b, nil
	}
	return policy.BreakGlass{}, policy.ErrNotFound
}

func (w *world) BreakGlasses(_ context.Context, _ string, since time.Time, _ int) ([]policy.BreakGlass, error) {
	var out []policy.BreakGlass
	for _, id := range slices.Sorted(maps.Keys(w.glass)) {
		if b := w.glass[id]; since.IsZero() || !b.Over(since) {
			out = append(out, b)
		}
	}
	return out, nil
}

func (w *world) AddBreakGlass(_ context.Context, b policy.BreakGlass) error {
	w.glass[b.ID] = b
	return nil
}

func (w *world) ChangeBreakGlass(_ context.Context, _, id string, change func(*policy.BreakGlass) error) (policy.BreakGlass, error) {
	b, ok := w.glass[id]
	if !ok {
		return b, policy.ErrNotFound
	}
	err := change(&b)
	if err == nil {
		w.glass[id] = b
	}
	return b, err
}

func (w *world) Tail(_ context.Context, q DecisionQuery) ([]DecisionRecord, error) {
	var out []DecisionRecord
	for _, r := range w.records {
		if q.Subject == "" || q.Subject == r.Subject {
			out = append(out, r)
		}
	}
	return out, nil
}

func (w *world) Export(_ context.Context, _ DecisionQuery, yield func(any) error) error {
	for _, r := range w.records {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Verify(context.Context) (Verification, error) {
	return Verification{Intact: true, Heads: []VerificationHead{}, Findings: []VerificationFinding{}}, nil
}

func (w *world) Show(_ context.Context, _, id string) (DecisionRecord, error) {
	for _, r := range w.records {
		if r.ID == id {
			return r, nil
		}
	}
	return DecisionRecord{}, fmt.Errorf("decision: %w", policy.ErrNotFound)
}

func (w *world) Status(context.Context) Status {
	return Status{Version: "test", Parts: map[string]string{"policy": "ok"}}
}

func (w *world) Reindex(context.Context) (ReindexReport, error) {
	return ReindexReport{Repositories: 2}, nil
}

// View makes the world a directory that knows projects only.
func (w *world) View() (policy.View, error) { return view{w}, w.outage }

type view struct{ w *world }

func (v view) Revision() int64                                            { return 1 }
func (v view) Subject(policy.Principal, string, time.Time) policy.Subject { return policy.Subject{} }
func (v view) Project(_, name string) (policy.Project, bool) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	p, ok := v.w.projects[name]
	return p, ok
}
func (v view) Waivers(policy.Repository, digest.Digest, time.Time) []policy.Waiver { return nil }
func (v view) BreakGlass(policy.Principal, string, time.Time) (policy.BreakGlass, bool) {
	return policy.BreakGlass{}, false
}

func newAPI(w *world) (*API, error) {
	return New(Config{
		Gate: w, Accounts: w, Credentials: w, Passwords: w, Projects: w, Members: w, Waivers: w, WaiverSources: w,
		Decisions: w, Maintenance: w, Shadow: w, Inventory: w, Explainer: w, Stage: w, Now: func() time.Time { return now },
		BreakGlass: BreakGlassConfig{Grants: w, People: w, Max: 4 * time.Hour, SecondPerson: w.secondPerson},
	})
}

func (w *world) api(t *testing.T) *API {
	t.Helper()
	a, err := newAPI(w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var alice = authn.Caller{
	Principal: policy.Principal{Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser, Auth: "basic"},
	RequestID: "r1", ClientIP: "192.0.2.1",
}

// do makes one call, as the edge does, and answers status and body.
func do(t *testing.T, a *API, c authn.Caller, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, Prefix+path, strings.NewReader(body))
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	if err := a.Serve(rec, r, c); err != nil {
		errcode.Write(rec, r, err)
	}
	return rec.Code, rec.Body.String()
}

func into[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}
