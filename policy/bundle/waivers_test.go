package bundle_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
)

func TestTheWaiversOfAFolderAreAPartOfItsRevision(t *testing.T) {
	const waiver = `{"W-1":{"rule":"a.b","owner":"alice","expires":"2026-12-01T00:00:00Z"}}`
	load := func(files map[string]string) (revision string, waivers int) {
		t.Helper()
		dir := t.TempDir()
		for name, content := range files {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ev, err := bundle.Compile(t.Context(), dir, opa.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return ev.Revision(), len(ev.FileWaivers())
	}
	empty, _ := load(nil)
	for name, c := range map[string]struct {
		files   map[string]string
		waivers int
	}{
		"beside the rules":            {map[string]string{"waivers.json": waiver}, 1},
		"in the folder":               {map[string]string{"waivers/a.json": waiver}, 1},
		"in the folder, called data":  {map[string]string{"waivers/data.json": waiver}, 1},
		"in both":                     {map[string]string{"waivers.json": waiver, "waivers/a.json": `{"W-2":{"rule":"a.b","owner":"x","expires":"2026-12-01T00:00:00Z"}}`}, 2},
		"not deeper in the folder":    {map[string]string{"waivers/old/a.json": waiver}, 0},
		"not in another folder":       {map[string]string{"rules/waivers.json": waiver}, 0},
		"not in notes beside them":    {map[string]string{"waivers/README.md": "x", "waivers/a.json.bak": "x"}, 0},
		"not in what an editor hides": {map[string]string{"waivers/.a.json": "{"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			revision, waivers := load(c.files)
			if waivers != c.waivers || (revision != empty) != (c.waivers > 0) {
				t.Errorf("%d waivers, and another revision: %v", waivers, revision != empty)
			}
		})
	}
	one, _ := load(map[string]string{"waivers.json": waiver})
	other, _ := load(map[string]string{"waivers.json": waiver + "\n"})
	if one == other {
		t.Error("a changed file is no other revision")
	}
}
