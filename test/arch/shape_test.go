package arch

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// A file is read in one sitting. Beyond the first figure the test says so, beyond
// the second it fails; tests are tables and may be longer.
const (
	longFile    = 400
	tooLongFile = 500
)

// emptyNames say nothing at the place where they are called.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "impl", "misc", "service", "types", "base", "shared"}

// mayInit are the files that may have an init function, each with its reason.
// The rule stands because a package that acts by being imported cannot be
// configured, tested alone or reasoned about.
var mayInit = map[string]string{}

func TestEachPackageHasExactlyOnePackageDoc(t *testing.T) {
	docs := map[string][]string{}
	packages := map[string]bool{}
	for _, f := range tree(t) {
		if f.Test {
			continue
		}
		packages[f.Dir] = true
		if f.Doc == "" {
			continue
		}
		docs[f.Dir] = append(docs[f.Dir], f.Path)
		want := "Package " + f.Package + " "
		if f.Package == "main" {
			want = "Command " + path.Base(f.Dir) + " "
		}
		if !strings.HasPrefix(f.Doc, want) {
			t.Errorf("%s: the package doc should begin with %q", f.Path, want)
		}
	}
	for dir := range packages {
		switch len(docs[dir]) {
		case 1:
		case 0:
			t.Errorf("%s has no package doc: say what it is for, what it refuses to do and who may import it", dir)
		default:
			t.Errorf("%s has %d package docs (%s): a reader finds one of them", dir, len(docs[dir]), strings.Join(docs[dir], ", "))
		}
	}
}

func TestNoFileIsTooLongToRead(t *testing.T) {
	for _, f := range tree(t) {
		switch {
		case f.Test:
		case f.Lines > tooLongFile:
			t.Errorf("%s has %d lines, more than %d: it holds more than one idea", f.Path, f.Lines, tooLongFile)
		case f.Lines > longFile:
			t.Logf("%s has %d lines: time to look for the second idea in it", f.Path, f.Lines)
		}
	}
}

func TestNoPackageHasANameThatSaysNothing(t *testing.T) {
	for _, f := range tree(t) {
		name := strings.TrimSuffix(f.Package, "_test")
		if slices.Contains(emptyNames, name) || slices.Contains(emptyNames, path.Base(f.Dir)) {
			t.Errorf("%s: package %q says nothing at the call site", f.Path, f.Package)
		}
	}
}

func TestNoPackageActsByBeingImported(t *testing.T) {
	for _, f := range tree(t) {
		if len(f.Inits) == 0 || f.Test {
			continue
		}
		if _, ok := mayInit[f.Path]; !ok {
			t.Errorf("%s:%d: func init: build it where it is used, or add the file to mayInit with the reason", f.Path, f.Inits[0])
		}
	}
}

// The rules above are only as good as the eye that checks them: it must see a
// planted offence.
func TestTheRulesSeeAnOffence(t *testing.T) {
	offences := []struct {
		why    string
		file   goFile
		folder string
		want   bool
	}{
		{"the protocol may use policy", goFile{Dir: "gateway/oci"}, "policy", true},
		{"the protocol may not use the evaluator", goFile{Dir: "gateway/oci"}, "policy/opa", false},
		{"the protocol may not use storage", goFile{Dir: "gateway/oci"}, "storage/registry", false},
		{"not even in its tests", goFile{Dir: "gateway/oci", Test: true}, "storage/registry", false},
		{"storage may not use the gateway", goFile{Dir: "storage/metadata"}, "gateway/errcode", false},
		{"storage may not use the other storage", goFile{Dir: "storage/registry"}, "storage/metadata", false},
		{"policy uses nothing of ours", goFile{Dir: "policy"}, "policy/opa", false},
		{"nor do routes", goFile{Dir: "gateway/ociroute"}, "policy", false},
		{"the composition root uses everything", goFile{Dir: "cmd/bondgate"}, "storage/metadata", true},
		{"including the parts of policy", goFile{Dir: "cmd/bondgate"}, "policy/decisionlog", true},
		{"the edge uses its own rooms", goFile{Dir: "gateway"}, "gateway/token", true},
		{"but no part of policy", goFile{Dir: "gateway"}, "policy/decisionlog", false},
		{"a new room has no rule yet", goFile{Dir: "billing"}, "policy", false},
	}
	for _, o := range offences {
		t.Run(o.why, func(t *testing.T) {
			r, ok := ruleOf(o.file.Dir)
			got := ok && allowed(o.file, o.folder, r.ours)
			if got != o.want {
				t.Errorf("%s importing %s: allowed = %v, want %v", o.file.Dir, o.folder, got, o.want)
			}
		})
	}
}
