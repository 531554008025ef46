package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// inventoryOf lists what a project has as repository@digest, with tags and parents.
func inventoryOf(t *testing.T, s *Store, workspace, project string) []string {
	t.Helper()
	var all []string
	must(t, s.Inventory(t.Context(), workspace, project, func(a *policy.Artifact) error {
		all = append(all, text(a.Repository.Name, a.Digest, a.Tags, a.Parents, a.Referrers))
		return nil
	}))
	return all
}

func inventory(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	at := func(name, repository string) *policy.Artifact {
		a := image(name)
		a.Repository.Name = repository
		return a
	}
	// Names that sort beside, between and after those of the project.
	for _, repository := range []string{"pay", "pay-roll/app", "pay.old", "pay/api", "pay/z/deep", "pay0", "payments/api", "another/one"} {
		must(t, s.Push(ctx, at("in "+repository, repository), []policy.TagMove{{Tag: "v1"}, {Tag: "latest"}}))
	}
	other := at("in another workspace", "pay/api")
	other.Repository.Workspace = "other"
	must(t, s.Push(ctx, other, []policy.TagMove{{Tag: "v1"}}))

	child, index := at("child", "pay/api"), at("index", "pay/api")
	index.Kind, index.Layers, index.ConfigBlob, index.Config = policy.KindIndex, nil, nil, nil
	index.Manifests = []policy.Child{{Descriptor: policy.Descriptor{Digest: child.Digest, Size: 1}}}
	must(t, s.Push(ctx, child, nil))
	must(t, s.Push(ctx, index, []policy.TagMove{{Tag: "multi"}}))
	signature := at("signature", "pay/api")
	signature.Subject = &policy.Descriptor{Digest: child.Digest}
	must(t, s.Push(ctx, signature, nil))

	none := []digest.Digest(nil)
	tags := []string{"latest", "v1"}
	want := map[string]bool{
		text("pay", dig("in pay"), tags, none, 0):                         true,
		text("pay/api", dig("in pay/api"), tags, none, 0):                 true,
		text("pay/z/deep", dig("in pay/z/deep"), tags, none, 0):           true,
		text("pay/api", child.Digest, []string{}, []any{index.Digest}, 1): true,
		text("pay/api", index.Digest, []string{"multi"}, none, 0):         true,
		text("pay/api", signature.Digest, []string{}, none, 0):            true,
	}
	got := inventoryOf(t, s, "default", "pay")
	for _, line := range got {
		if !want[line] {
			t.Errorf("nobody expects %s", line)
		}
	}
	same(t, len(got), len(want))
	same(t, len(inventoryOf(t, s, "", "")), 11)
	same(t, len(inventoryOf(t, s, "other", "")), 1)
	same(t, len(inventoryOf(t, s, "default", "nobody")), 0)

	enough := errors.New("enough")
	n := 0
	is(t, s.Inventory(ctx, "", "", func(*policy.Artifact) error { n++; return enough }), enough)
	same(t, n, 1)

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Inventory(gone, "", "", func(*policy.Artifact) error { return nil }); err == nil {
		t.Error("somebody who left was answered")
	}
}

// An inventory has each manifest once, in order, wherever pages end.
func inventoryPages(t *testing.T, open func() *Store) {
	s, ctx := open(), t.Context()
	want := 0
	push := func(repository, name string) {
		a := image(name)
		a.Repository.Name = repository
		must(t, s.Push(ctx, a, []policy.TagMove{{Tag: name}}))
		want++
	}
	for i := range inventoryPage + 20 {
		push("many/a", fmt.Sprint("in-one-", i))
	}
	for i := range 40 {
		push(fmt.Sprint("many/b", i), "alone")
	}
	// Some that are too large to be read beside each other.
	for i := range 3 {
		a := image(fmt.Sprint("large-", i))
		a.Repository.Name = "many/large"
		a.Annotations = map[string]string{"a": strings.Repeat("x", inventoryBytes/2)}
		must(t, s.Push(ctx, a, nil))
		want++
	}
	last, n := "", 0
	must(t, s.Inventory(ctx, "", "many", func(a *policy.Artifact) error {
		at := text(a.Repository.Name, a.Digest)
		if at <= last {
			t.Fatalf("%s comes after %s", at, last)
		}
		last, n = at, n+1
		return nil
	}))
	same(t, n, want)
	n = 0
	must(t, s.Inventory(ctx, "", "", func(*policy.Artifact) error { n++; return nil }))
	same(t, n, want)
}

// A page is found by its key: no statement reads a table from the beginning.
func TestTheInventoryIsReadByKey(t *testing.T) {
	s := open(t, Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "b.db")})
	for what, args := range map[string][]any{
		inventoryKeys:        {"default", "a", "b", 10},
		inventoryProjectKeys: {"default", "a", "b", 10, "a", "a/", "a0"},
		inventoryFacts:       {"default", "a", "b", "a", "c"},
	} {
		rows, err := s.reads.rows(t.Context(), "EXPLAIN QUERY PLAN "+what, args...)
		steps, err := collect(rows, err, func(rows *sql.Rows) (step string, err error) {
			var id, parent, unused int
			return step, rows.Scan(&id, &parent, &unused, &step)
		})
		must(t, err)
		for _, step := range steps {
			// The page itself is in memory, and what hangs on it is found by its whole key.
			if strings.HasPrefix(step, "SCAN ") && step != "SCAN page" && step != "SCAN p" {
				t.Errorf("%s\nof\n%s", step, what)
			}
			if strings.Contains(step, "SEARCH artifacts ") && !strings.Contains(step, "(repository,digest)>") ||
				len(step) > 8 && strings.HasPrefix(step, "SEARCH ") && step[8] == ' ' && strings.Contains(step, ">") {
				t.Errorf("%s\nof\n%s", step, what)
			}
		}
	}
}
