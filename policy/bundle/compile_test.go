package bundle_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
)

func rule(pack string) string {
	return "package bondgate.rules." + pack + "\n\ndeny contains {\"code\": \"" + pack + ".no\", \"msg\": \"no\"} if input.action == \"tags.list\"\n"
}

func write(t *testing.T, dir, name, body string) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

func revision(t *testing.T, dir string) string {
	t.Helper()
	src, err := bundle.Load(dir, opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return src.Revision
}

func TestAFolderIsReadAndNamedByItsContent(t *testing.T) {
	dir := t.TempDir()
	none := revision(t, "")
	if got := revision(t, dir); got != none {
		t.Fatalf("an empty folder is the shipped bundle: %s and %s", got, none)
	}
	write(t, dir, "mine.rego", rule("mine"))
	one := revision(t, dir)
	if one == none {
		t.Fatal("a rule changes nothing")
	}
	write(t, dir, "mine_test.rego", "this is no Rego")
	write(t, dir, "README.md", "notes")
	write(t, dir, ".git/config", "x")
	write(t, dir, ".mine.rego.swp", "x")
	if got := revision(t, dir); got != one {
		t.Fatal("what is not policy changes the revision")
	}
	if err := os.Rename(filepath.Join(dir, "mine.rego"), filepath.Join(dir, "other.rego")); err != nil {
		t.Fatal(err)
	}
	if got := revision(t, dir); got == one {
		t.Fatal("a name is a part of the revision")
	}
	if _, err := bundle.Compile(t.Context(), dir, opa.Limits{}); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderThatLeadsOutOfItselfIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		says string
	}{
		{"a link to a file outside", func(t *testing.T, dir string) {
			outside := t.TempDir()
			write(t, outside, "mine.rego", rule("mine"))
			link(t, filepath.Join(outside, "mine.rego"), filepath.Join(dir, "mine.rego"))
		}, "escapes"},
		{"a link to a folder outside", func(t *testing.T, dir string) {
			link(t, t.TempDir(), filepath.Join(dir, "more"))
		}, "escapes"},
		{"a link that climbs", func(t *testing.T, dir string) {
			link(t, "../../../../etc", filepath.Join(dir, "more"))
		}, "escapes"},
		{"a link to itself", func(t *testing.T, dir string) {
			link(t, ".", filepath.Join(dir, "again"))
		}, "again"},
		{"a pipe", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "mine.rego"), 0o600); err != nil {
				t.Skip("no pipes here: ", err)
			}
		}, "neither a file nor a folder"},
		{"a folder that is not there", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"too many bytes", func(t *testing.T, dir string) {
			write(t, dir, "mine.rego", rule("mine")+"#"+strings.Repeat("x", 11<<20))
		}, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "policy")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c.make(t, dir)
			_, err := bundle.Load(dir, opa.Limits{})
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("want an error with %q, got %v", c.says, err)
			}
		})
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestTooManyFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.rego", "b.rego", "c.rego"} {
		write(t, dir, name, rule(strings.TrimSuffix(name, ".rego")))
	}
	if _, err := bundle.Load(dir, opa.Limits{Files: 2}); err == nil || !strings.Contains(err.Error(), "more than 2 files") {
		t.Fatalf("got %v", err)
	}
}

func TestAMountedConfigMapIsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "..2026_1/mine.rego", rule("mine"))
	link(t, "..2026_1", filepath.Join(dir, "..data"))
	link(t, "..data/mine.rego", filepath.Join(dir, "mine.rego"))
	src, err := bundle.Load(dir, opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if last := src.Files[len(src.Files)-1]; last.Path != "mine.rego" || last.Shipped {
		t.Fatalf("got %s", last.Path)
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := bundle.Compile(b.Context(), "", opa.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
