package opa_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

const goodWaiver = `{"rule":"mine.no","owner":"alice","expires":"2026-12-01T00:00:00Z"}`

// withWaivers is a pack that denies every pull, with files beside it by path.
func withWaivers(files ...string) []opa.File {
	own := []opa.File{pack("", `deny contains {"code": "mine.no", "msg": "no"} if input.action == "manifest.pull"`)}
	for i := 0; i < len(files); i += 2 {
		own = append(own, opa.File{Path: files[i], Data: []byte(files[i+1])})
	}
	return own
}

func TestWaiversOfABundleAreInForce(t *testing.T) {
	const file = `{
		"W-1": {"rule":"mine.no","terms":["CVE-1"],"scope":{"projects":["payments"],"repositories":["payments/*"],"digests":[]},
		 "reason":"not reachable","ticket":"SEC-412","owner":"alice","approver":"bob","created":"2026-09-01T00:00:00Z","expires":"2026-12-01T00:00:00Z"},
		"W-2": {"rule":"mine.no","scope":{"projects":["other"]},"owner":"alice","expires":"2026-12-01T00:00:00Z"}}`
	ev := compileWith(t, withWaivers("waivers.json", file, "waivers/2026.json", `{"W-0":{"rule":"mine.no","owner":"carol","expires":"2026-01-01T00:00:00Z"}}`)...)
	repo := policy.Repository{Workspace: "prod", Name: "payments/api"}
	end := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	ids := func(at time.Time) string {
		var all []string
		for _, w := range ev.Waivers(repo, "", at) {
			all = append(all, w.ID+" "+w.Origin+" "+string(w.State))
		}
		return strings.Join(all, ",")
	}
	if got := ids(end.Add(-time.Second)); got != "W-1 bundle approved" {
		t.Fatalf("a second before the end: %q", got)
	}
	if got := ids(end); got != "" {
		t.Fatalf("at the end: %q", got)
	}
	all := ev.FileWaivers()
	if len(all) != 3 || all[0].ID != "W-0" || all[1].Ticket != "SEC-412" || all[1].Approver != "bob" {
		t.Fatalf("the bundle has %+v", all)
	}
}

func TestTheReasonThatAWaiverOfABundleLiftsNamesIt(t *testing.T) {
	ev := compileWith(t, withWaivers("waivers.json", `{"W-1":`+goodWaiver+`}`)...)
	f := pullFacts(ev)
	f.Waivers = ev.Waivers(policy.Repository{Name: "payments/api"}, "", time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC))
	d := decide(t, ev, f)
	if !d.Allowed() || len(d.Waived) != 1 || d.Waived[0].Waiver != "W-1" {
		t.Fatalf("%+v", d)
	}
}

func TestWaiversThatAreNotUnderstoodStopTheBundle(t *testing.T) {
	many := make([]string, 10001)
	for i := range many {
		many[i] = fmt.Sprintf("%q:%s", fmt.Sprint("W-", i), goodWaiver)
	}
	for name, c := range map[string]struct{ file, says string }{
		"a key that nobody knows":         {`{"W-1":{"rule":"mine.no","owner":"a","expires":"2026-12-01T00:00:00Z","state":"approved"}}`, "state"},
		"a misspelt scope":                {`{"W-1":{"rule":"mine.no","owner":"a","expires":"2026-12-01T00:00:00Z","scope":{"project":["x"]}}}`, "project"},
		"a key in other letters":          {`{"W-1":{"Rule":"mine.no","owner":"a","expires":"2026-12-01T00:00:00Z"}}`, "Rule"},
		"an id that is there twice":       {`{"W-1":` + goodWaiver + `,"W-1":` + goodWaiver + `}`, "duplicate"},
		"an end that is there twice":      {`{"W-1":{"rule":"mine.no","owner":"a","expires":"2026-12-01T00:00:00Z","expires":"2099-12-01T00:00:00Z"}}`, "duplicate"},
		"no owner":                        {`{"W-1":{"rule":"mine.no","expires":"2026-12-01T00:00:00Z"}}`, "owner"},
		"no rule":                         {`{"W-1":{"owner":"a","expires":"2026-12-01T00:00:00Z"}}`, "rule"},
		"no end":                          {`{"W-1":{"rule":"mine.no","owner":"a"}}`, "end"},
		"an end that is no date":          {`{"W-1":{"rule":"mine.no","owner":"a","expires":"soon"}}`, "expires"},
		"nothing under an id":             {`{"W-1":null}`, "W-1"},
		"an id that is a path":            {`{"../x":` + goodWaiver + `}`, "id"},
		"a pattern that cannot match":     {`{"W-1":{"rule":"mine.no","owner":"a","expires":"2026-12-01T00:00:00Z","scope":{"repositories":["a/{b,c}"]}}}`, "pattern"},
		"a list":                          {`[]`, "waivers.json"},
		"null":                            {`null`, "object"},
		"nothing":                         {``, "waivers.json"},
		"half a file":                     {`{"W-1":`, "waivers.json"},
		"two documents":                   {`{} {}`, "waivers.json"},
		"more waivers than anybody reads": {"{" + strings.Join(many, ",") + "}", "10000"},
		"the same id in another file":     {`{"W-2":` + goodWaiver + `}`, "waivers/more.json"},
		"text that is no text":            {"{\"W-1\":{\"rule\":\"mine.no\",\"owner\":\"\xff\",\"expires\":\"2026-12-01T00:00:00Z\"}}", "waivers.json"},
		"an owner that steers a terminal": {`{"W-1":{"rule":"mine.no","owner":"\u001b[2J","expires":"2026-12-01T00:00:00Z"}}`, "owner"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := opa.Compile(t.Context(), sourceWith(t, withWaivers("waivers.json", c.file, "waivers/more.json", `{"W-2":`+goodWaiver+`}`)...))
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the author is told: %v", err)
			}
		})
	}
}

func TestAWaiverThatLiftsNothingIsAWarning(t *testing.T) {
	ev := compileWith(t, withWaivers("waivers.json", `{"W-1":{"rule":"rbac.admin","owner":"a","expires":"2026-12-01T00:00:00Z"},"W-2":`+goodWaiver+`}`)...)
	if all := ev.Warnings(); len(all) != 1 || !strings.Contains(all[0], "W-1") || !strings.Contains(all[0], "rbac.admin") {
		t.Fatalf("the author is told %q", all)
	}
}

// What was recorded under a bundle with waivers is judged again as it was, and by
// another bundle with the waivers of that one.
func TestARecordedInputIsJudgedAgainWithTheWaiversOfTheBundle(t *testing.T) {
	with := compileWith(t, withWaivers("waivers.json", `{"W-1":`+goodWaiver+`,"W-5":`+goodWaiver+`}`)...)
	without := compileWith(t, withWaivers()...)
	f := pullFacts(with)
	f.Revision = with.Revision()
	repo := f.Request.Repository
	row := policy.Waiver{ID: "W-1", Rule: "other.rule", Owner: "bob", Origin: policy.WaiverOfAPI, State: policy.WaiverApproved, Expires: f.Request.At.Add(time.Hour)}
	later := row
	later.ID = "W-3"
	f.Waivers = append([]policy.Waiver{row}, with.Waivers(repo, "", f.Request.At)...)
	f.Waivers = append(f.Waivers, later)
	slices.SortStableFunc(f.Waivers, func(a, b policy.Waiver) int { return strings.Compare(a.ID, b.ID) })
	doc := policy.Document(f)
	same := policy.Transpose(doc, f.Project.Packs, with)
	one, errOne := json.Marshal(doc)
	two, errTwo := json.Marshal(same)
	if errOne != nil || errTwo != nil || string(one) != string(two) {
		t.Fatalf("before the same bundle it is another input:\n%s\n%s", one, two)
	}
	if d, err := with.DecideInput(t.Context(), same); err != nil || !d.Allowed() || len(d.Waived) != 2 {
		t.Fatalf("%+v %v", d, err)
	}
	if d, err := without.DecideInput(t.Context(), policy.Transpose(doc, f.Project.Packs, without)); err != nil || d.Allowed() || len(d.Waived) != 0 {
		t.Fatalf("by a bundle without waivers: %+v %v", d, err)
	}
	back := policy.Transpose(policy.Transpose(doc, f.Project.Packs, without), f.Project.Packs, with)
	if raw, err := json.Marshal(back); err != nil || string(raw) != string(one) {
		t.Fatalf("there and back it is another input:\n%s\n%s", one, raw)
	}
}

func FuzzWaiversOfABundle(f *testing.F) {
	f.Add(`{"W-1":` + goodWaiver + `}`)
	f.Add(`{"W-1":{"rule":"mine.no","terms":["x"],"scope":{"repositories":["a/**"]},"owner":"a","expires":"9999-12-31T23:59:59Z"}}`)
	f.Add(`{"W-1":{"expires":"0000-00-00"}}`)
	f.Fuzz(func(t *testing.T, file string) {
		all, err := opa.ReadWaivers(opa.File{Path: "waivers.json", Data: []byte(file)})
		if err != nil {
			return
		}
		for _, w := range all {
			if err := w.Check(); err != nil || w.State != policy.WaiverApproved || w.Origin != policy.WaiverOfBundle {
				t.Fatalf("%+v passed: %v", w, err)
			}
		}
	})
}
