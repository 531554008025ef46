package bundle_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
)

// journal is a log and a hook that a test can read.
type journal struct {
	mu     sync.Mutex
	text   strings.Builder
	states []bundle.Status
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) reloaded(s bundle.Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, s)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

func (j *journal) told() []bundle.Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]bundle.Status(nil), j.states...)
}

func open(t *testing.T, dir string) (*bundle.Folder, *journal) {
	t.Helper()
	j := &journal{}
	f, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{
		Dir: dir, Log: slog.New(slog.NewTextHandler(j, nil)), OnReload: j.reloaded, Poll: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, j
}

// denied reports which codes stand against a system administrator who lists tags.
func denied(t *testing.T, f *bundle.Folder) string {
	t.Helper()
	ev, err := f.Current()
	if err != nil {
		t.Fatal(err)
	}
	d, err := ev.Decide(t.Context(), policy.Facts{
		Request: policy.Request{Action: policy.TagsList, At: time.Unix(1790000000, 0),
			Principal: policy.Principal{ID: "alice"}, Repository: policy.Repository{Name: "a/b"}},
		Subject: policy.Subject{Roles: []string{"admin"}}, ProjectExists: true,
		Project: policy.Project{Name: "a"}, Packs: ev.Packs(nil), Revision: ev.Revision(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range d.Deny {
		out = append(out, r.Code)
	}
	return strings.Join(out, " ")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func TestARuleComesAndGoesWithItsFile(t *testing.T) {
	dir := t.TempDir()
	f, j := open(t, dir)
	if got := denied(t, f); got != "" {
		t.Fatalf("denied by %s", got)
	}
	before := f.Status()

	write(t, dir, "mine.rego", rule("mine"))
	eventually(t, "the new rule denies", func() bool { return denied(t, f) == "mine.no" })
	if s := f.Status(); s.Revision == before.Revision || s.Err != "" || s.LoadedAt.Before(before.LoadedAt) {
		t.Fatalf("status %+v", s)
	}

	write(t, dir, "deep/er/other.rego", rule("other"))
	eventually(t, "a rule in a new folder denies", func() bool { return denied(t, f) == "mine.no other.no" })

	if err := os.Remove(filepath.Join(dir, "mine.rego")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "deep")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rules that are gone deny no more", func() bool { return denied(t, f) == "" })
	if s := f.Status(); s.Revision != before.Revision {
		t.Fatalf("the same content has another revision: %+v", s)
	}
	if len(j.told()) < 3 {
		t.Fatalf("told of %d reloads", len(j.told()))
	}
}

func TestABrokenEditKeepsTheLastGoodPolicy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "mine.rego", rule("mine"))
	f, j := open(t, dir)
	good := f.Status()

	write(t, dir, "mine.rego", "package bondgate.rules.mine\n\ndeny contains {")
	eventually(t, "the status tells of the broken edit", func() bool { return strings.Contains(f.Status().Err, "rego_parse_error") })
	if got := denied(t, f); got != "mine.no" {
		t.Fatalf("denied by %q", got)
	}
	if s := f.Status(); s.Revision != good.Revision || !s.LoadedAt.Equal(good.LoadedAt) {
		t.Fatalf("status %+v", s)
	}
	// Several polls later it has still been told once.
	time.Sleep(500 * time.Millisecond)
	if n := j.count("policy folder is broken"); n != 1 {
		t.Fatalf("told %d times", n)
	}

	write(t, dir, "mine.rego", rule("mine"))
	eventually(t, "taking the edit back ends the error", func() bool { return f.Status().Err == "" })
	if s := f.Status(); s.Revision != good.Revision {
		t.Fatalf("status %+v", s)
	}
}

func TestAFolderThatGoesAwayKeepsTheLastGoodPolicy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	write(t, dir, "mine.rego", rule("mine"))
	f, _ := open(t, dir)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status tells that the folder is gone", func() bool { return f.Status().Err != "" })
	if got := denied(t, f); got != "mine.no" {
		t.Fatalf("denied by %q", got)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the folder that is back ends the error", func() bool { return f.Status().Err == "" })
	write(t, dir, "other.rego", rule("other"))
	eventually(t, "it is watched again", func() bool { return denied(t, f) == "mine.no other.no" })
}

func TestAnAuthorWhoTakesOverAShippedPackIsRefusedWhileRunning(t *testing.T) {
	dir := t.TempDir()
	f, _ := open(t, dir)
	write(t, dir, "mine.rego", "package bondgate.rules.rbac\n\npermitted if true\n")
	eventually(t, "the status says so", func() bool { return strings.Contains(f.Status().Err, "cannot be extended") })
}

func TestABrokenFolderAtTheStartIsAnError(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "mine.rego", "package bondgate.rules.mine\n\ndeny contains {")
	if _, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{Dir: dir}); err == nil {
		t.Fatal("a server would run without the policy that it was given")
	}
	if _, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{Dir: filepath.Join(dir, "gone")}); err == nil {
		t.Fatal("a folder that is not there is no folder")
	}
}

func TestNoFolderIsTheShippedPolicy(t *testing.T) {
	f, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if got := denied(t, f); got != "" {
		t.Fatalf("denied by %s", got)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEditOfSeveralStepsIsReadWhenItIsOver(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "mine.rego", rule("mine"))
	f, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{Dir: dir, Poll: 5 * time.Millisecond, Settle: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	// The rule is away for a moment: between the two steps nothing denies.
	if err := os.Remove(filepath.Join(dir, "mine.rego")); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		if got := denied(t, f); got != "mine.no" {
			t.Fatalf("denied by %q in the middle of an edit", got)
		}
	}
	write(t, dir, "other.rego", rule("other"))
	eventually(t, "the edit is in force", func() bool {
		got := denied(t, f)
		if got != "mine.no" && got != "other.no" {
			t.Fatalf("denied by %q", got)
		}
		return got == "other.no"
	})
}

// A policy that nobody depends on may be broken at the start: it is there when it is
// mended.
func TestAForgivingFolderWaitsForItsFirstGoodPolicy(t *testing.T) {
	for name, lay := range map[string]func(dir string) error{
		"broken rules": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "rule.rego"), []byte("package bondgate.rules.house\n\nnonsense((("), 0o600)
		},
		"no folder": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "policy")
			if err := errors.Join(os.Mkdir(dir, 0o700), lay(dir)); err != nil {
				t.Fatal(err)
			}
			j := &journal{}
			cfg := bundle.FolderConfig{Dir: dir, OnReload: j.reloaded, Poll: 50 * time.Millisecond}
			if _, err := bundle.NewFolder(t.Context(), cfg); err == nil {
				t.Fatal("a folder that forgives nothing took it")
			}
			cfg.Forgiving = true
			f, err := bundle.NewFolder(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			if _, err := f.Current(); !errors.Is(err, policy.ErrUnavailable) {
				t.Errorf("there is a policy: %v", err)
			}
			if s := f.Status(); s.Err == "" || s.Revision != "" {
				t.Errorf("the status is %+v", s)
			}
			good := "package bondgate.rules.house\n\ndeny contains {\"code\": \"house.no\", \"msg\": \"no\"} if input.action == \"tags.list\"\n"
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "rule.rego"), []byte(good), 0o600)); err != nil {
				t.Fatal(err)
			}
			for range 600 {
				if f.Status().Err == "" {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if got := denied(t, f); got != "house.no" {
				t.Errorf("the denials are %q, the status %+v", got, f.Status())
			}
			if told := j.told(); len(told) != 1 || told[0].Err != "" {
				t.Errorf("it was told %+v", told)
			}
		})
	}
}

func TestAWarningOfWhatIsInForceIsToldWithoutRefusingIt(t *testing.T) {
	dir := t.TempDir()
	rule := "package bondgate.rules.mine\n\ndeny contains {\"code\": \"mine.no\", \"msg\": \"no\"} if {\n\tinput.action == \"manifest.pull\"\n\tinput.request.user_agent == \"x\"\n}\n"
	log := "package system.log\n\nmask contains \"/input/request/user_agent\"\n"
	for name, text := range map[string]string{"mine.rego": rule, "log.rego": log} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var told journal
	f, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{Dir: dir, Log: slog.New(slog.NewTextHandler(&told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const says = "the mask of input.request.user_agent hides what a rule reads"
	if s := f.Status(); s.Err != "" || !strings.Contains(s.Warnings, says) || strings.Contains(s.Warnings, "\n") {
		t.Errorf("status %+v", s)
	}
	if !strings.Contains(told.text.String(), says) || !strings.Contains(told.text.String(), "level=WARN") {
		t.Errorf("logged %s", told.text.String())
	}
}
