package opa_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/bondgate/bondgate/policy/bundle"
)

const examplesDir = "../../docs/examples"

// TestTheExamplesOfTheDocsPassTheirTests runs what `opa test` runs in each folder,
// with no more than a reader has there, and loads it as the gateway does.
func TestTheExamplesOfTheDocsPassTheirTests(t *testing.T) {
	folders, err := os.ReadDir(examplesDir)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		t.Run(folder.Name(), func(t *testing.T) {
			dir := filepath.Join(examplesDir, folder.Name())
			loaded, err := loader.NewFileLoader().WithProcessAnnotation(true).Filtered([]string{dir},
				func(_ string, info os.FileInfo, _ int) bool {
					return !info.IsDir() && !strings.HasSuffix(info.Name(), ".rego")
				})
			if err != nil {
				t.Fatal(err)
			}
			store := inmem.New()
			txn, err := store.NewTransaction(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Abort(t.Context(), txn)
			results, err := tester.NewRunner().SetStore(store).
				SetCompiler(ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities(t))).
				SetModules(loaded.ParsedModules()).RunTests(t.Context(), txn)
			if err != nil {
				t.Fatal(err)
			}
			for r := range results {
				ran++
				if !r.Pass() {
					t.Errorf("%s: %s: %v", r.Location, r.Name, r.Error)
				}
			}
			folder, err := bundle.NewFolder(t.Context(), bundle.FolderConfig{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer folder.Close()
			if said := folder.Status().Err; said != "" {
				t.Error(said)
			}
		})
	}
	if ran == 0 {
		t.Fatal("no example has a test")
	}
}
