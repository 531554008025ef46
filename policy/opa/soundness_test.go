package opa_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// The rules of the soundness test read the input in every way that an author
// can: by a path, by a key that is known at evaluation only, through a variable,
// through a helper, in a comprehension, by a key with a dot in it.
var readers = []string{
	`deny contains {"code": "r.path", "msg": sprintf("%v", [input.request.client_ip])} if input.request.method == "HEAD"`,
	`deny contains {"code": "r.blob", "msg": sprintf("%v", [input.blob.size])} if {
	input.action == "blob.pull"
	input.blob.size > 0
}`,
	`deny contains {"code": "r.upload", "msg": input.upload.session} if {
	input.action == "blob.push"
	startswith(input.upload.session, "u1")
}`,
	`deny contains {"code": "r.key", "msg": sprintf("%v", [value])} if {
	some key in ["user_agent", "host"]
	value := input.request[key]
	value != "reg"
}`,
	`deny contains {"code": "r.label", "msg": "label"} if input.artifact.config.labels["com.acme.x"] == "1"`,
	`deny contains {"code": "r.tags", "msg": concat(",", input.artifact.tags)} if count(input.artifact.tags) > 1`,
	`deny contains {"code": "r.age", "msg": sprintf("%d", [input.artifact.pushed.age_s])} if input.artifact.pushed.age_s > 7200`,
	`deny contains {"code": "r.variable", "msg": sprintf("%v", [who])} if {
	who := input.subject
	"ops" in who.groups
}`,
	`deny contains {"code": "r.claims", "msg": "mfa"} if input.subject.claims.amr == "pwd"`,
	`deny contains {"code": "r.helper", "msg": sprintf("%v", [part("mount")])} if part("mount").subject_can_pull_from == false`,
	`deny contains {"code": "r.scopes", "msg": sprintf("%v", [wanted])} if {
	wanted := {action | some scope in input.token.requested; some action in scope.actions}
	"push" in wanted
}`,
	`deny contains {"code": "r.time", "msg": input.time.rfc3339} if input.time.ns % 2000000000 == 0`,
	`deny contains {"code": "r.waiver", "msg": "waived here"} if count(input.waivers) > 0`,
	`deny contains {"code": "r.glass", "msg": sprintf("%v", [input.breakglass.justification])} if input.breakglass.ticket != "x"`,
	`deny contains {"code": "r.result", "msg": "many"} if input.result.count > 0`,
	`deny contains {"code": "r.current", "msg": "moves"} if input.reference.current_digest != null`,
	`deny contains {"code": "r.tls", "msg": input.request.tls.peer_spiffe} if endswith(input.request.tls.peer_spiffe, "/a")`,
	`deny contains {"code": "r.walk", "msg": sprintf("%v", [value])} if {
	some [path, value] in walk(input.request)
	path == ["path"]
	contains(value, "odd")
}`,
}

// part reads all of the input, so only the bundle of all rules has it.
const helper = "\npart(name) := input[name]\n"

func readerPack(rules ...string) opa.File {
	body := "package bondgate.rules.mine\n\n" + strings.Join(rules, "\n\n") + "\n"
	if strings.Contains(body, "part(") {
		body += helper
	}
	return mine(body)
}

// TestACachedDecisionIsTheOneThatRulesWouldMake holds a gate with a cache against
// one that never saw a request, both over the real evaluator: whatever subset of
// the input the compiled rules can read, no two requests that they would judge
// differently share an answer.
func TestACachedDecisionIsTheOneThatRulesWouldMake(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	bundles := map[string][]opa.File{"the shipped rules alone": nil, "all readers": {readerPack(readers...)}}
	for i := range 4 {
		var some []string
		for _, rule := range readers {
			if rnd.IntN(3) == 0 && !strings.Contains(rule, "part(") {
				some = append(some, rule)
			}
		}
		if len(some) > 0 {
			bundles[fmt.Sprintf("some readers %d", i)] = []opa.File{readerPack(some...)}
		}
	}
	for name, files := range bundles {
		t.Run(name, func(t *testing.T) {
			w := &soundWorld{rnd: rnd, ev: compileWith(t, files...), now: time.Unix(1790000000, 0), dir: &soundView{revision: 1}}
			w.dir.change(rnd)
			w.pool = soundArtifacts(rnd, w.now)
			cached, evaluated := w.gate(t), map[string]bool{}
			const requests = 600
			broken := 0
			for i := range requests {
				w.move()
				req := w.next()
				want, err := w.gate(t).Admit(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := cached.Admit(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				evaluated[got.ID] = true
				if got.BreakGlass != "" {
					broken++
				}
				if a, b := answerOf(t, want), answerOf(t, got); a != b {
					t.Fatalf("request %d: the cache says\n%s\nthe rules say\n%s\nof %+v\nwhich read %v", i, b, a, req, w.ev.Reads(req.Action))
				}
			}
			t.Logf("%d evaluations for %d requests, %d under broken glass", len(evaluated), requests, broken)
			if len(evaluated) > requests*9/10 {
				t.Error("hardly anything was answered from the cache")
			}
		})
	}
}

func answerOf(t *testing.T, d policy.Decision) string {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// soundWorld is what the two gates stand in. It is the bundles and the recorder
// of both.
type soundWorld struct {
	rnd  *rand.Rand
	ev   *opa.Evaluator
	now  time.Time
	dir  *soundView
	pool []*policy.Artifact
	past []policy.Request
}

func (w *soundWorld) Current() (policy.Evaluator, error)          { return w.ev, nil }
func (w *soundWorld) View() (policy.View, error)                  { return w.dir, nil }
func (w *soundWorld) Ready() error                                { return nil }
func (w *soundWorld) Open(*policy.Record) error                   { return nil }
func (w *soundWorld) Write(context.Context, *policy.Record) error { return nil }
func oneOf[T any](rnd *rand.Rand, of ...T) T                      { return of[rnd.IntN(len(of))] }

func (w *soundWorld) gate(t *testing.T) *policy.Gate {
	t.Helper()
	g, err := policy.NewGate(policy.GateConfig{
		Bundles: w, Directory: w, Recorder: w, Deadline: time.Minute, Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// move lets time pass, rights change and artifacts be read anew, now and then.
func (w *soundWorld) move() {
	switch w.rnd.IntN(140) {
	case 0:
		w.now = w.now.Add(time.Second)
	case 1:
		next := &soundView{revision: w.dir.revision + 1}
		next.change(w.rnd)
		next.breakGlass(w.rnd, w.now)
		w.dir = next
	case 2:
		w.pool = soundArtifacts(w.rnd, w.now)
	case 3:
		next := *w.dir
		next.revision, next.glass = w.dir.revision+1, nil
		next.breakGlass(w.rnd, w.now)
		w.dir = &next
	}
}

func soundArtifacts(rnd *rand.Rand, now time.Time) []*policy.Artifact {
	var out []*policy.Artifact
	for i := range 6 {
		a := benchArtifact()
		a.Digest = digest.FromString(fmt.Sprint("a", i/2))
		a.Tags = oneOf(rnd, []string{"1"}, []string{"1", "prod"})
		a.Role = oneOf(rnd, policy.RoleImage, policy.RoleSBOM, policy.RoleUnsupported)
		a.Config.User = oneOf(rnd, "", "1000")
		a.Config.Labels = map[string]string{"com.acme.x": oneOf(rnd, "1", "2")}
		a.PushedAt = now.Add(-time.Duration(rnd.IntN(5)) * time.Hour)
		if i != 5 { // one that was never sealed
			a.Seal()
		}
		out = append(out, a)
	}
	return out
}

// next is a request that differs from an earlier one in one thing, or in none:
// what a key forgot shows there.
func (w *soundWorld) next() policy.Request {
	if len(w.past) < 40 || w.rnd.IntN(20) == 0 {
		w.past = append(w.past, w.request())
		return w.past[len(w.past)-1]
	}
	r := w.past[w.rnd.IntN(len(w.past))]
	other := w.request()
	switch w.rnd.IntN(12) {
	case 0:
		r.Principal = other.Principal
	case 1:
		r.Purpose = other.Purpose
	case 2:
		r.Repository = other.Repository
	case 3:
		r.HTTP.Method = other.HTTP.Method
	case 7:
		r.HTTP.ClientIP = other.HTTP.ClientIP
	case 8:
		r.HTTP.Path, r.HTTP.UserAgent = other.HTTP.Path, other.HTTP.UserAgent
	case 9:
		if r.Reference.Current != "" {
			r.Reference.Current = ""
		}
	case 4:
		if r.Artifact != nil {
			r.Artifact = oneOf(w.rnd, w.pool...)
		}
	case 5:
		if r.Reference.Kind != "" {
			r.Reference.Value = oneOf(w.rnd, "1", "prod")
		}
	case 6:
		if r.Action == other.Action {
			other.HTTP, other.Principal = r.HTTP, r.Principal
			r = other
		}
	}
	return r
}

func (w *soundWorld) request() policy.Request {
	rnd := w.rnd
	r := policy.Request{
		Principal: policy.Principal{
			ID: oneOf(rnd, "alice", "bob", ""), Issuer: policy.LocalIssuer, Kind: policy.KindUser, Auth: oneOf(rnd, "basic", "token"),
			Groups: oneOf(rnd, nil, []string{"ops"}),
		},
		Action: oneOf(rnd, policy.ManifestPull, policy.ManifestPush, policy.BlobPull, policy.BlobPush, policy.BlobMount, policy.TagsList,
			policy.TagDelete, policy.TokenIssue, policy.ReferrersList, policy.CatalogList, policy.UploadStatus),
		Purpose:    oneOf(rnd, policy.Use, policy.Use, policy.Inspect),
		Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: oneOf(rnd, "red/a", "red/b", "gone/a")},
		HTTP: policy.HTTP{Method: oneOf(rnd, "GET", "HEAD"), Path: oneOf(rnd, "/v2/x", "/v2/odd"), ClientIP: oneOf(rnd, "10.0.0.1", "10.0.0.2"),
			UserAgent: oneOf(rnd, "docker", "crane"), Host: "reg", PeerSPIFFE: oneOf(rnd, "", "spiffe://acme/a", "spiffe://acme/b")},
	}
	if rnd.IntN(6) == 0 {
		r.Principal.Claims = map[string]any{"amr": oneOf(rnd, "mfa", "pwd")}
	}
	switch r.Action {
	case policy.ManifestPull, policy.ManifestPush, policy.TagDelete:
		r.Artifact = oneOf(rnd, w.pool...)
		r.Reference = policy.Reference{Kind: policy.ByTag, Value: oneOf(rnd, "1", "prod"), Current: oneOf(rnd, "", r.Artifact.Digest)}
	case policy.BlobPull:
		r.Blob = &policy.Blob{Digest: digest.FromString(oneOf(rnd, "x", "y")), Size: int64(rnd.IntN(3)), Manifest: oneOf(rnd, "", digest.FromString("m"))}
	case policy.BlobPush, policy.UploadStatus:
		r.Upload = &policy.Upload{Session: oneOf(rnd, "", "u1", "u2"), DeclaredSize: int64(rnd.IntN(3) - 1), Digest: oneOf(rnd, "", digest.FromString("x"))}
	case policy.BlobMount:
		r.Blob = &policy.Blob{Digest: digest.FromString("x"), Size: 1}
		r.Mount = &policy.Mount{From: policy.Repository{Name: oneOf(rnd, "red/b", "blue/c")}, SubjectCanPullFrom: rnd.IntN(2) == 0}
	case policy.TokenIssue:
		r.Purpose, r.Repository = policy.Token, policy.Repository{Workspace: policy.DefaultWorkspace}
		r.Token = &policy.TokenRequest{Service: "reg", TTL: time.Minute, Offline: rnd.IntN(2) == 0, Auto: oneOf(rnd, "", "writers"), Requested: []policy.Scope{
			{Type: "repository", Name: oneOf(rnd, "red/a", "gone/a"), Actions: oneOf(rnd, []string{"pull"}, []string{"pull", "push"})},
		}}
	case policy.ReferrersList:
		r.Reference = policy.Reference{Kind: policy.ByDigest, Value: "sha256:aa"}
		r.Referrers = &policy.ReferrersQuery{ArtifactType: oneOf(rnd, "", "t"), Count: rnd.IntN(2)}
	}
	return r
}

// soundView is one reading of people, projects and waivers.
type soundView struct {
	revision int64
	roles    map[string][]string
	project  policy.Project
	waivers  []policy.Waiver
	// glass ends within a few seconds, so that time alone ends it too.
	glass []policy.BreakGlass
}

func (v *soundView) change(rnd *rand.Rand) {
	v.roles = map[string][]string{"alice": {"developer"}, "bob": {oneOf(rnd, "guest", "maintainer")}}
	if rnd.IntN(4) == 0 {
		maps.DeleteFunc(v.roles, func(who string, _ []string) bool { return who == "alice" })
	}
	v.project = policy.Project{
		Workspace: policy.DefaultWorkspace, Name: "red", Public: rnd.IntN(2) == 0,
		Packs: []policy.Pack{{Name: "image", Mode: oneOf(rnd, policy.ModeOff, policy.ModeWarn, policy.ModeDeny), Config: []byte(`{"deny_root":true}`)}},
	}
	if rnd.IntN(2) == 0 {
		v.waivers = []policy.Waiver{{ID: "W-1", Rule: "image.root_user", Owner: "o", Expires: time.Unix(1800000000, 0)}}
	}
}

func (v *soundView) breakGlass(rnd *rand.Rand, now time.Time) {
	for i := range rnd.IntN(5) {
		b := policy.BreakGlass{
			ID: fmt.Sprint("bg-", v.revision, "-", i), Issuer: policy.LocalIssuer, Subject: oneOf(rnd, "alice", "bob"), Kind: policy.KindUser,
			Projects: []string{"red"}, Justification: "j", Ticket: "t", Created: now,
			Expires: now.Add(time.Duration(1+rnd.IntN(4)) * time.Second), State: oneOf(rnd, policy.WaiverApproved, policy.WaiverApproved, policy.WaiverApproved, policy.WaiverPending),
		}
		if rnd.IntN(4) == 0 {
			b.Ended = now.Add(time.Duration(rnd.IntN(3)) * time.Second)
		}
		v.glass = append(v.glass, b)
	}
}

func (v *soundView) Revision() int64 { return v.revision }

func (v *soundView) Subject(p policy.Principal, project string, _ time.Time) policy.Subject {
	if project != "red" {
		return policy.Subject{}
	}
	return policy.Subject{Roles: v.roles[p.ID]}
}

func (v *soundView) Project(_, name string) (policy.Project, bool) {
	if name != "red" {
		return policy.Project{}, false
	}
	return v.project, true
}

func (v *soundView) Waivers(repo policy.Repository, _ digest.Digest, _ time.Time) []policy.Waiver {
	if repo.Project() != "red" {
		return nil
	}
	return v.waivers
}

func (v *soundView) BreakGlass(p policy.Principal, project string, at time.Time) (policy.BreakGlass, bool) {
	for _, b := range v.glass {
		if b.For(p) && slices.Contains(b.Projects, project) && b.InForce(at) {
			return b, true
		}
	}
	return policy.BreakGlass{}, false
}
