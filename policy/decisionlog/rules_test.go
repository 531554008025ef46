package decisionlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// rulesFunc are rules of a test.
type rulesFunc func(ctx context.Context, event map[string]any) (policy.RecordRuling, error)

func (f rulesFunc) About(ctx context.Context, event map[string]any) (policy.RecordRuling, error) {
	return f(ctx, event)
}

// hides rules that paths are hidden.
func hides(paths ...string) rulesFunc {
	return func(context.Context, map[string]any) (r policy.RecordRuling, _ error) {
		for _, p := range paths {
			r.Masks = append(r.Masks, policy.RecordMask{Path: strings.FieldsFunc(p, func(c rune) bool { return c == '/' })})
		}
		return r, nil
	}
}

func openRuled(t *testing.T, rules Rules) *Log {
	t.Helper()
	l, err := Open(t.Context(), Config{Dir: t.TempDir(), MaskKey: testKey, Rules: func() Rules { return rules }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// document is that of the records of these tests.
func document() map[string]any {
	return map[string]any{
		"action":  "manifest.pull",
		"subject": map[string]any{"name": "alice", "id": "alice", "claims": map[string]any{"email": "alice@acme", "o.dot": "x"}, "groups": []any{"devs", "ops"}},
		"request": map[string]any{"user_agent": "docker/29.0", "client_ip": "10.1.2.3"},
	}
}

func ruled(change ...func(*policy.Record)) *policy.Record {
	return record("d1", append([]func(*policy.Record){func(r *policy.Record) {
		r.Input, r.Reads = document, []string{"action", "subject.name", "subject.groups"}
	}}, change...)...)
}

func TestWhatAMaskHidesIsNamedAndReplayableWhereNoRuleReadsIt(t *testing.T) {
	for _, c := range []struct {
		name       string
		paths      []string
		masked     string
		replayable bool
	}{
		{"what no rule reads", []string{"request/user_agent"}, "request.user_agent", true},
		{"several of it", []string{"request/user_agent", "subject/claims/email"}, "request.user_agent subject.claims.email", true},
		{"what is not there", []string{"request/host"}, "", true},
		{"what a rule reads", []string{"subject/name"}, "subject.id subject.name", false},
		{"more than a rule reads", []string{"subject"}, "subject", false},
		{"a part of what a rule reads", []string{"subject/groups/1"}, "subject.groups.1", false},
		{"a key with a dot", []string{"subject/claims/o.dot"}, "subject.claims", true},
		{"all of the input", []string{""}, "input", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openRuled(t, hides(c.paths...))
			mustWrite(t, l, ruled())
			e, err := l.Show(t.Context(), "d1")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(e.Masked, " "); got != c.masked || e.Replayable != c.replayable || e.InputError != "" {
				t.Errorf("masked %q, replayable %v, error %q: %s", got, e.Replayable, e.InputError, e.Input)
			}
			if c.masked == "input" && len(e.Input) > 0 {
				t.Errorf("input %s", e.Input)
			}
			if hidesName := c.masked == "input" || strings.Contains(c.masked, "subject.name") || c.masked == "subject"; (e.Subject == "alice") == hidesName {
				t.Errorf("the subject is %q", e.Subject)
			}
		})
	}
}

func TestAMaskGivesAValueInsteadOrBesides(t *testing.T) {
	l := openRuled(t, rulesFunc(func(context.Context, map[string]any) (r policy.RecordRuling, _ error) {
		r.Masks = []policy.RecordMask{
			{Path: []string{"subject", "name"}, Upsert: true, Value: "somebody"},
			{Path: []string{"request", "client_ip"}, Upsert: true, Value: map[string]any{"net": "10.0.0.0/8", "$x": 1}},
			{Path: []string{"notes", "by"}, Upsert: true, Value: "password=hunter2"},
			{Path: []string{"request", "user_agent"}, Upsert: true, Value: "kept"},
			{Path: []string{"request", "user_agent"}},
		}
		return r, nil
	}))
	mustWrite(t, l, ruled())
	e, err := l.Show(t.Context(), "d1")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"somebody"`, `"id":"somebody"`, `"client_ip":{"$x":1,"net":"10.0.0.0/8"}`, `"notes":{"by":"password=hmac:`, `"user_agent":"hmac:`} {
		if !strings.Contains(string(e.Input), want) {
			t.Errorf("%s is not in %s", want, e.Input)
		}
	}
	if e.Subject != "somebody" || strings.Contains(fmt.Sprint(e), "alice ") || e.Replayable {
		t.Errorf("the record is %+v", e)
	}
}

func TestMasksThatFailHideTheWholeInputAndStopNothing(t *testing.T) {
	never := errors.New("eval_builtin_error at log.rego:3")
	for _, c := range []struct {
		name, says string
		rules      rulesFunc
	}{
		{"a rule that fails", "eval_builtin_error at log.rego:3", func(context.Context, map[string]any) (policy.RecordRuling, error) {
			return policy.RecordRuling{}, never
		}},
		{"rules that panic", "panic", func(context.Context, map[string]any) (policy.RecordRuling, error) { panic("no") }},
		{"rules that never end", "too long", func(ctx context.Context, _ map[string]any) (policy.RecordRuling, error) {
			<-ctx.Done()
			return policy.RecordRuling{}, ctx.Err()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openRuled(t, c.rules)
			mustWrite(t, l, ruled(denied))
			e, err := l.Show(t.Context(), "d1")
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Input) > 0 || e.Replayable || !strings.Contains(e.InputError, c.says) || !slices.Equal(e.Masked, []string{"input"}) || strings.Contains(fmt.Sprint(e), "alice") {
				t.Errorf("recorded as %+v", e)
			}
			if e.Verdict != "deny" || e.Deny[0].Code != "vuln.critical" {
				t.Errorf("the answer is %+v", e)
			}
			if r := verified(t, l); !r.Intact() {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestRulesThatAreSlowHaveATimeForAllRecordsOfAFlush(t *testing.T) {
	u := ruler{rules: func() Rules {
		return rulesFunc(func(ctx context.Context, _ map[string]any) (policy.RecordRuling, error) {
			<-ctx.Done()
			return policy.RecordRuling{}, ctx.Err()
		})
	}}
	u.begin()
	asked := 0
	for range 1000 {
		u.about(ruled())
		if u.left > 0 {
			asked++
		}
	}
	if asked > int(rulesTime/ruleTime)+1 {
		t.Errorf("asked %d times", asked)
	}
	if said := u.about(ruled()); said.masks == nil || !strings.Contains(said.failure, "too long") {
		t.Errorf("a record that nobody was asked about: %+v", said)
	}
}

func TestOnlyEverydayAllowsAreDropped(t *testing.T) {
	drop := rulesFunc(func(context.Context, map[string]any) (policy.RecordRuling, error) {
		return policy.RecordRuling{Drop: true}, nil
	})
	l := openRuled(t, drop)
	hit := func(r *policy.Record) { r.Hit(); r.Hit() }
	id := func(id string) func(*policy.Record) { return func(r *policy.Record) { r.ID = id } }
	for _, r := range []*policy.Record{
		ruled(id("allow"), hit),
		ruled(id("deny"), denied), ruled(id("repeats"), denied, func(r *policy.Record) { r.Repeats = "deny" }),
		ruled(id("outage"), func(r *policy.Record) { r.Outage = "deadline" }),
		ruled(id("admin"), func(r *policy.Record) { r.Action = policy.AdminAPI }),
		ruled(id("glass"), func(r *policy.Record) { r.Decision.BreakGlass = "bg-1" }),
		ruled(id("allow2")),
	} {
		if err := l.Open(r); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "they are written", func() bool { return len(tail(t, l, Query{})) == 5 })
	if got := ids(tail(t, l, Query{})); got != "glass admin outage repeats deny" {
		t.Errorf("recorded %q", got)
	}
	eventually(t, "the dropped are counted", func() bool { return l.Dropped() == 4 })
	r := verified(t, l)
	if !r.Intact() || r.Records != 5 || r.Heads[0].Seq != 5 {
		t.Errorf("report %+v", r)
	}
	// A flush of dropped records alone writes nothing and is no failure.
	if err := l.Open(ruled(id("allow3"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is counted", func() bool { return l.Dropped() == 5 })
	if err := l.Ready(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestRulesSeeTheEventOfOPAsDecisionLog(t *testing.T) {
	var seen []map[string]any
	l := openRuled(t, rulesFunc(func(_ context.Context, event map[string]any) (policy.RecordRuling, error) {
		seen = append(seen, event)
		return policy.RecordRuling{}, nil
	}))
	mustWrite(t, l, ruled(denied))
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 {
		t.Fatalf("asked %d times", len(seen))
	}
	e := seen[0]
	if e["decision_id"] != "d1" || e["path"] != "bondgate/decision" || e["timestamp"] != "2026-11-21T10:00:00.123456Z" || e["requested_by"] != "10.1.2.3" {
		t.Errorf("event %v", e)
	}
	if r := e["result"].(map[string]any); r["allow"] != false || r["deny"].([]any)[0].(map[string]any)["code"] != "vuln.critical" {
		t.Errorf("result %v", e["result"])
	}
	if e["input"].(map[string]any)["subject"].(map[string]any)["name"] != "alice" || e["bundles"].(map[string]any)["bondgate"].(map[string]any)["revision"] != "r1" {
		t.Errorf("event %v", e)
	}
}

func TestASecretInTheAnswerIsHiddenAndNamed(t *testing.T) {
	l := openRuled(t, nil)
	mustWrite(t, l, ruled(denied, func(r *policy.Record) {
		r.Decision.Message = "[x] the label says password=hunter2"
		r.Outage, r.Reference, r.Subject = "ask https://bob:s3cret@ldap", someToken, someJWT
	}))
	e, err := l.Show(t.Context(), "d1")
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%+v", e)
	for _, secret := range []string{"hunter2", "s3cret", someToken, someJWT} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is in %s", secret, shown)
		}
	}
	if got := strings.Join(e.Masked, " "); got != "record.message record.outage record.reference record.subject" || e.Replayable {
		t.Errorf("masked %q, replayable %v", got, e.Replayable)
	}
	if got := ids(tail(t, l, Query{Subject: someJWT})); got != "d1" {
		t.Errorf("searched by the whole: %q", got)
	}
}
