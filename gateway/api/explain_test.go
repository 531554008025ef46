package api

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// hostile is what people can write into names, tags and labels, and into messages.
const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202e\r\nSet-Cookie: a=b `$(id)` {{.}} '; rm -rf /"

func (w *world) Explain(_ context.Context, input map[string]any, _ []policy.Pack) (policy.Explanation, error) {
	if w.outage != nil {
		return policy.Explanation{}, w.outage
	}
	reason := policy.Reason{Code: "image.root_user", Pack: "image", Mode: "deny", Term: hostile, Message: hostile, Remediation: hostile}
	return policy.Explanation{
		Revision: "r2", Decision: policy.Decision{Visible: true, Deny: []policy.Reason{reason}},
		Reasons: []policy.ExplainedReason{{
			Reason: reason, Effect: "deny", Title: hostile, Description: hostile, Owner: hostile, Waivable: true,
			Links: []string{"https://wiki.example/" + hostile, "javascript:alert(1)"},
			Rule:  "data.bondgate.rules.image.deny", File: "rules/" + hostile, Line: 15,
			Facts:   []policy.Fact{{Path: `artifact.config.labels["` + hostile + `"]`, Value: hostile}, {Path: "a", Value: input["action"]}, {Path: "gone", Absent: true}},
			Changes: []policy.Change{{Path: "artifact.config.user", From: hostile, To: "1000"}},
			Others:  [][]policy.Change{{{Path: "subject.anonymous", From: true, To: false}, {Path: "subject.roles", From: []any{}, To: []any{"developer"}}}},
		}},
	}, nil
}

func (w *world) Suppose(req policy.Request) (policy.Facts, error) {
	f := policy.Facts{Request: req, ProjectExists: true}
	if req.Principal.ID == "member" {
		f.Subject.Roles = []string{"guest"}
	}
	return f, w.outage
}

func (w *world) Somebody(_ context.Context, workspace, issuer, name string) (policy.Principal, error) {
	if name == "nobody" {
		return policy.Principal{}, fmt.Errorf("person: %w", policy.ErrNotFound)
	}
	return policy.Principal{Workspace: workspace, Issuer: issuer, ID: name, Kind: policy.KindUser}, nil
}

func (w *world) ResolveTag(_ context.Context, _ policy.Repository, tag string) (digest.Digest, error) {
	if tag == "none" {
		return "", fmt.Errorf("tag: %w", policy.ErrNotFound)
	}
	return digest.FromString("x"), nil
}

func (w *world) Artifact(_ context.Context, _ policy.Repository, d digest.Digest) (*policy.Artifact, error) {
	return &policy.Artifact{Digest: d, Role: "image"}, nil
}

// record is a denial of alice's.
func record(id string, change func(*DecisionRecord)) DecisionRecord {
	rec := DecisionRecord{
		ID: id, At: now, Action: policy.ManifestPull, Subject: "alice", Issuer: policy.LocalIssuer, Project: "team",
		Repository: "team/app", Reference: hostile, Verdict: "deny", Visible: true, Replayable: true, Revision: "r1",
		Input: json.RawMessage(`{"action":"manifest.pull","time":{"ns":1790000000000000001}}`),
		Deny:  []policy.Reason{{Code: "image.root_user", Message: hostile}},
	}
	if change != nil {
		change(&rec)
	}
	return rec
}

// ownOrNone denies everybody what is not about themselves.
func ownOrNone(r policy.Request) bool {
	before, _ := r.Admin.Before.(map[string]any)
	return before["subject"] != r.Principal.ID || before["issuer"] != r.Principal.Issuer
}

func open(t testing.TB, a *API, c authn.Caller, method, path string, accept string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://reg.test/", nil)
	r.URL.Path = path
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	rec := httptest.NewRecorder()
	if err := a.DecisionPage().Serve(rec, r, c); err != nil {
		errcode.Write(rec, r, err)
	}
	return rec
}

const browser = "text/html,application/xhtml+xml,*/*;q=0.8"

func TestThePageOfADecisionIsForItsSubject(t *testing.T) {
	w := newWorld()
	w.deny = ownOrNone
	w.records = []DecisionRecord{
		record("mine", nil), record("theirs", func(r *DecisionRecord) { r.Subject = "bob" }),
		record("namesake", func(r *DecisionRecord) { r.Issuer = "https://sso" }),
		record("hidden", func(r *DecisionRecord) { r.Visible = false }),
		record("nobodys", func(r *DecisionRecord) { r.Subject, r.Issuer = "", "" }),
	}
	a := w.api(t)
	if got := open(t, a, alice, "GET", "/d/mine", ""); got.Code != 200 || !strings.Contains(got.Body.String(), "It was denied: alice asked to pull team/app") {
		t.Fatalf("her own: %d %s", got.Code, got.Body)
	}
	absent := open(t, a, alice, "GET", "/d/absent", "")
	for _, id := range []string{"theirs", "namesake", "hidden", "nobodys", "", "..", "a/b", strings.Repeat("x", 5000), hostile} {
		before := len(w.asked)
		got := open(t, a, alice, "GET", "/d/"+id, "")
		if got.Code != 404 || got.Body.String() != absent.Body.String() {
			t.Errorf("%.20q: %d %s, not as what is absent: %s", id, got.Code, got.Body, absent.Body)
		}
		if len(w.asked) != before+1 {
			t.Errorf("%.20q: the gate was asked %d times", id, len(w.asked)-before)
		}
		if head := open(t, a, alice, "HEAD", "/d/"+id, ""); head.Code != 404 || head.Body.Len() > 0 {
			t.Errorf("HEAD %.20q: %d", id, head.Code)
		}
	}
	w.deny = nil
	for _, id := range []string{"theirs", "hidden", "nobodys"} {
		if got := open(t, a, alice, "GET", "/d/"+id, ""); got.Code != 200 {
			t.Errorf("an auditor reads %s: %d", id, got.Code)
		}
	}
	if got := open(t, a, alice, "GET", "/d/absent", ""); got.Code != 404 || got.Body.String() != absent.Body.String() {
		t.Errorf("what is absent, to an auditor: %d", got.Code)
	}
}

func TestThePageOfADecisionWantsACredentialOfAPerson(t *testing.T) {
	w := newWorld()
	w.records = []DecisionRecord{record("mine", nil)}
	a := w.api(t)
	if got := open(t, a, authn.Caller{}, "GET", "/d/mine", ""); got.Code != 401 || len(w.asked) > 0 {
		t.Errorf("nobody: %d, asked %d", got.Code, len(w.asked))
	}
	scoped := alice
	scoped.Scoped = true
	if got := open(t, a, scoped, "GET", "/d/mine", ""); got.Code != 403 || len(w.asked) > 0 {
		t.Errorf("a registry token: %d", got.Code)
	}
	w.outage = policy.ErrUnavailable
	if got := open(t, a, alice, "GET", "/d/mine", ""); got.Code != 503 {
		t.Errorf("an outage: %d", got.Code)
	}
}

// Attack class 25: texts of others in pages, terminals and commands.
func TestWhatOthersWroteIsTextOnThePage(t *testing.T) {
	w := newWorld()
	w.records = []DecisionRecord{record("mine", nil)}
	a := w.api(t)
	page := open(t, a, alice, "GET", "/d/mine", browser)
	if page.Code != 200 || page.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", page.Code, page.Header())
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
		if page.Header().Get(name) != want {
			t.Errorf("%s: %q", name, page.Header().Get(name))
		}
	}
	if csp := page.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "script") {
		t.Errorf("the policy of the page: %q", csp)
	}
	body := page.Body.String()
	known := map[string]bool{"html": true, "meta": true, "title": true, "main": true, "h1": true, "h2": true, "p": true, "code": true, "section": true, "dl": true, "dt": true, "dd": true, "a": true, "!DOCTYPE": true}
	for _, tag := range regexp.MustCompile(`<(/?)([!A-Za-z0-9]+)([^>]*)>`).FindAllStringSubmatch(body, -1) {
		if !known[tag[2]] || tag[2] != "a" && strings.Contains(html.UnescapeString(tag[3]), "alert") {
			t.Errorf("a tag of somebody else: %s", tag[0])
		}
	}
	if strings.Contains(body, `href="javascript`) || strings.Contains(body, "onerror=alert(1)>") || strings.ContainsAny(body, "\x1b\u202e\r") {
		t.Errorf("the page has what others wrote as it was:\n%s", body)
	}
	if !strings.Contains(body, "&lt;script&gt;") {
		t.Error("the text is not shown at all")
	}
	text := open(t, a, alice, "GET", "/d/mine", "*/*").Body.String()
	if strings.ContainsAny(text, "\x1b\u202e\r") || strings.Contains(text, "\nSet-Cookie") {
		t.Errorf("the text has control characters: %q", text)
	}
	for _, want := range []string{"The bundle r1 decided", "bundle r2", "with the role developer here", "signed in, and with", "gone = (not there)", "rules/"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	command := regexp.MustCompile(`bondgate waiver request .*`).FindString(text)
	if !strings.Contains(command, `--term '<script>`) || !strings.Contains(command, `'\''; rm -rf /' --project team`) {
		t.Errorf("the command runs what others wrote: %s", command)
	}
}

func TestWhatCannotBeJudgedAgainIsShownAsItWasRecorded(t *testing.T) {
	w := newWorld()
	w.records = []DecisionRecord{
		record("masked", func(r *DecisionRecord) { r.Replayable = false }),
		record("bare", func(r *DecisionRecord) { r.Input = nil }),
		record("outage", func(r *DecisionRecord) {
			r.Verdict, r.Outage, r.Deny = "outage", "dial tcp 10.0.0.1: secret", nil
		}),
	}
	a := w.api(t)
	for id, want := range map[string]string{"masked": "is masked", "bare": "was not kept", "outage": "no decision was possible"} {
		status, body := do(t, a, alice, "GET", "/decisions/"+id+"/explanation", "")
		e := into[ExplainedDecision](t, body)
		if status != 200 || e.Explanation != nil || !strings.Contains(e.Unexplained, want) {
			t.Errorf("%s: %d %s", id, status, body)
		}
		page := open(t, a, alice, "GET", "/d/"+id, "")
		if page.Code != 200 || !strings.Contains(page.Body.String(), want) || strings.Contains(page.Body.String(), "10.0.0.1") {
			t.Errorf("%s: %d %s", id, page.Code, page.Body)
		}
		if recorded := strings.Contains(page.Body.String(), "[image.root_user]"); recorded == (id == "outage") {
			t.Errorf("%s shows its reasons: %v", id, recorded)
		}
	}
}

func TestWhatPassedUnderBrokenGlassIsNoCleanVerdict(t *testing.T) {
	w := newWorld()
	w.records = []DecisionRecord{record("glass", func(r *DecisionRecord) { r.Verdict, r.BreakGlass, r.Deny = "allow", "bg-1", nil })}
	if page := open(t, w.api(t), alice, "GET", "/d/glass", ""); !strings.HasPrefix(page.Body.String(), "It was allowed under broken glass only: ") {
		t.Errorf("%d %s", page.Code, page.Body)
	}
}

func TestAnExplanationComparesWithWhatWasRecorded(t *testing.T) {
	w := newWorld()
	w.records = []DecisionRecord{record("mine", nil)}
	status, body := do(t, w.api(t), alice, "GET", "/decisions/mine/explanation", "")
	e := into[ExplainedDecision](t, body)
	if status != 200 || e.SameBundle || len(e.Differences) != 2 || e.Decision.Input != nil {
		t.Fatalf("%d %s", status, body)
	}
	if w.last().Action != policy.DecisionRead || w.last().Admin.Verb != "read" {
		t.Errorf("the gate was asked %+v", w.last())
	}
}

func TestAWhatIfIsAskedOfTheGateBeforeAnythingIsTold(t *testing.T) {
	w := newWorld()
	w.projects["team"] = policy.Project{Name: "team"}
	a := w.api(t)
	ask := func(body string) (int, string) { return do(t, a, alice, "POST", "/policy/explain", body) }

	status, body := ask(`{"image":"localhost:5000/team/app:1","user":"member","action":"manifest.pull"}`)
	e := into[ExplainedDecision](t, body)
	if status != 200 || !e.Supposed || e.Decision.Subject != "member" || e.Decision.Repository != "team/app" || e.Decision.Digest == "" {
		t.Fatalf("%d %s", status, body)
	}
	asked := w.last()
	if asked.Action != policy.AdminAPI || asked.Admin.Resource != "policy" || asked.Admin.Verb != "explain" || asked.Repository.Project() != "team" ||
		asked.Principal.ID != "alice" || asked.Admin.After.(map[string]any)["member"] != true {
		t.Errorf("the gate was asked %+v %+v", asked, asked.Admin)
	}
	if len(w.asked) != 1 {
		t.Errorf("a what-if asked the gate %d times", len(w.asked))
	}
	if status, body := ask(`{"image":"team/app:none","action":"manifest.push","user":"member"}`); status != 200 || !strings.Contains(body, "not there yet") {
		t.Errorf("the push of what is not there: %d %s", status, body)
	}
	if status, _ := ask(`{"image":"team/app:none","action":"manifest.pull","user":"member"}`); status != 404 {
		t.Errorf("the pull of what is not there: %d", status)
	}
	if status, _ := ask(`{"image":"team/app:1","action":"manifest.pull","user":"nobody"}`); status != 404 {
		t.Errorf("by nobody there is: %d", status)
	}
	w.deny = func(policy.Request) bool { return true }
	var first string
	for _, body := range []string{
		`{"image":"team/app:1","user":"member","action":"manifest.pull"}`,
		`{"image":"team/app:1","user":"nobody","action":"manifest.pull"}`,
		`{"image":"team/app:none","user":"member","action":"manifest.pull"}`,
		`{"image":"other/app:1","user":"stranger","action":"manifest.pull"}`,
	} {
		status, answer := ask(body)
		if first == "" {
			first = answer
		}
		if status != 403 || answer != first {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}

func TestAWhatIfIsReadStrictly(t *testing.T) {
	w := newWorld()
	a := w.api(t)
	for _, body := range []string{
		`{}`, `{"action":"admin.api"}`, `{"action":"token.issue","image":"a/b:1"}`, `{"action":"manifest.pull"}`,
		`{"action":"manifest.pull","image":"app"}`, `{"action":"manifest.pull","image":"team/app"}`, `{"action":"manifest.pull","image":"team/../app:1"}`,
		`{"action":"manifest.pull","image":"team/app:1","project":"other"}`, `{"action":"manifest.pull","image":"team/app@sha256:1"}`,
		`{"action":"tag.delete","image":"team/app@sha256:` + strings.Repeat("a", 64) + `"}`, `{"action":"catalog.list","image":"team/app:1"}`,
		`{"action":"manifest.pull","image":"team/app:1","user":"a\u0007"}`, `{"action":"manifest.pull","image":"team/app:1","token":"x"}`,
	} {
		if status, answer := do(t, a, alice, "POST", "/policy/explain", body); status != 400 || len(w.asked) > 0 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}

func FuzzThePageOfADecision(f *testing.F) {
	for _, s := range []string{"mine", "", "..", "%2e", "a\x00b", hostile, "01M7YQR3T9BM7D824PDZN6ECXV/"} {
		f.Add(s)
	}
	w := newWorld()
	w.deny = ownOrNone
	w.records = []DecisionRecord{record("theirs", func(r *DecisionRecord) { r.Subject = "bob" })}
	a, err := newAPI(w)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string) {
		w.asked = nil
		if got := open(t, a, alice, "GET", "/d/"+id, browser); got.Code != 404 || got.Body.String() != open(t, a, alice, "GET", "/d/absent", "").Body.String() {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
	})
}

func FuzzAWhatIf(f *testing.F) {
	for _, s := range []string{`{"image":"team/app:1","user":"member","action":"manifest.pull"}`, `{"image":"h:1/a/b@sha256:x","action":"blob.push"}`, `[]`, `{"action":1}`} {
		f.Add(s)
	}
	w := newWorld()
	a, err := newAPI(w)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w.asked = nil
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Prefix+"/policy/explain", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		if err := a.Serve(rec, r, alice); err != nil {
			errcode.Write(rec, r, err)
		}
		if rec.Code >= 500 || rec.Code < 300 && len(w.asked) != 1 {
			t.Fatalf("%d %s, the gate was asked %d times", rec.Code, rec.Body, len(w.asked))
		}
	})
}
