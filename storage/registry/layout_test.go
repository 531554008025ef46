package registry

import (
	"regexp"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

// specName is the name grammar of the distribution-spec, word for word.
var specName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

var names = []string{
	"a", "a/b", "a-b", "a--b", "a---b", "a_b", "a__b", "a___b", "a.b", "a..b", "a.-b", "a-.b", "a_-b", "-a", "a-", "_a", "a_", ".a", "a.",
	"", "/", "a/", "/a", "a//b", "..", ".", "a/..", "../a", "a/../b", "a/./b", "a/_layers", "_uploads", "a/_manifests/tags",
	"A", "a/B", "a:80/b", "a\x00b", "a\nb", "a%2fb", "a\\b", "ä", "a b", "a@b", "blobs", "uploads", "workspaces/second",
	strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a/", 127) + "a", strings.Repeat("a/", 128) + "a",
}

func TestANameIsWhatTheSpecificationAllows(t *testing.T) {
	for _, name := range names {
		if got, want := validName(name), specName.MatchString(name) && len(name) <= 255; got != want {
			t.Errorf("name %q: valid %v, want %v", name, got, want)
		}
	}
}

func FuzzANameIsWhatTheSpecificationAllows(f *testing.F) {
	for _, name := range names {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := validName(name)
		if want := specName.MatchString(name) && len(name) <= 255; got != want {
			t.Fatalf("name %q: valid %v, want %v", name, got, want)
		}
		if got {
			if _, err := reference.WithName(name); err != nil {
				t.Fatalf("distribution refuses %q: %v", name, err)
			}
		}
	})
}

func TestATagIsWhatTheSpecificationAllows(t *testing.T) {
	spec := regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	for _, tag := range []string{"v1", "_", "V1.0-rc_1", "", ".", "..", "-a", ".a", "a/b", "a\nb", "a\n", "ä", "a:b", strings.Repeat("t", 128), strings.Repeat("t", 129)} {
		if got, want := validTag(tag), spec.MatchString(tag); got != want {
			t.Errorf("tag %q: valid %v, want %v", tag, got, want)
		}
	}
}

func TestAnUploadIDIsAUUIDAndNothingElse(t *testing.T) {
	good := newUpload()
	if !validUpload(good) || good == newUpload() {
		t.Fatalf("made the id %q", good)
	}
	for _, id := range []string{"", ".", "..", "../../x", good + "/", good[:35], good + "0", strings.ToUpper(good[:24]) + "ABCDEFABCDEF", strings.Repeat("-", 36), strings.Repeat("0", 36), "../" + good[3:]} {
		if validUpload(id) {
			t.Errorf("%q passes for an upload id", id)
		}
	}
}

func TestAWorkspaceIsOneFolder(t *testing.T) {
	for name, want := range map[string]bool{"second": true, "a-1": true, "": false, "..": false, "a/b": false, "-a": false, "a-": false, "A": false, "a.b": false, strings.Repeat("w", 64): false} {
		if validWorkspace(name) != want {
			t.Errorf("workspace %q: valid %v", name, !want)
		}
	}
}
