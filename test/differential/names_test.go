package differential_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	containerdref "github.com/containerd/containerd/v2/pkg/reference"
	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	"oras.land/oras-go/v2/registry"

	"github.com/bondgate/bondgate/gateway/ociroute"
)

const host = "registry.example.com:5000"

// named is what a reader understands of HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST.
type named struct{ repository, reference string }

var nameReaders = []struct {
	name string
	read func(text string) (named, error)
}{
	{"go-containerregistry", func(text string) (named, error) {
		ref, err := name.ParseReference(text, name.StrictValidation)
		if err != nil {
			return named{}, err
		}
		return named{ref.Context().RepositoryStr(), ref.Identifier()}, nil
	}},
	{"oras-go", func(text string) (named, error) {
		ref, err := registry.ParseReference(text)
		if err != nil {
			return named{}, err
		}
		return named{ref.Repository, ref.Reference}, nil
	}},
	{"containerd", func(text string) (named, error) {
		spec, err := containerdref.Parse(text)
		if err != nil {
			return named{}, err
		}
		repository, ok := strings.CutPrefix(spec.Locator, host+"/")
		if !ok {
			return named{}, fmt.Errorf("another host in %q", spec.Locator)
		}
		if d := spec.Digest(); d != "" {
			return named{repository, d.String()}, nil
		}
		return named{repository, spec.Object}, nil
	}},
	{"distribution", func(text string) (named, error) {
		ref, err := reference.ParseNormalizedNamed(text)
		if err != nil {
			return named{}, err
		}
		if reference.Domain(ref) != host {
			return named{}, fmt.Errorf("another host")
		}
		out := named{repository: reference.Path(ref)}
		switch r := ref.(type) {
		case reference.Digested:
			out.reference = r.Digest().String()
		case reference.Tagged:
			out.reference = r.Tag()
		default:
			return named{}, fmt.Errorf("neither tag nor digest")
		}
		return out, nil
	}},
}

// together writes a repository and a reference as a person would.
func together(repository, ref string) string {
	if strings.Contains(ref, ":") {
		return host + "/" + repository + "@" + ref
	}
	return host + "/" + repository + ":" + ref
}

// compareNames holds both directions: what our route says is what every reader
// would say of the same name, and what a reader asks us for is what our route says.
func compareNames(t *testing.T, repository, ref string, mustRead bool) {
	t.Helper()
	route, err := ociroute.Parse(http.MethodGet, "/v2/"+repository+"/manifests/"+ref, "")
	if err != nil && mustRead {
		t.Errorf("we refuse %q %q: %v", repository, ref, err)
	}
	if err == nil {
		// An escaped colon is one; nobody writes it so in a name.
		asked := route.Tag + route.Digest
		for _, r := range nameReaders {
			got, err := r.read(together(route.Name, asked))
			if err != nil {
				if mustRead {
					t.Errorf("%s refuses %q %q: %v", r.name, repository, ref, err)
				}
				continue
			}
			if got != (named{route.Name, asked}) {
				t.Errorf("%s reads %+v, we read %q %q", r.name, got, route.Name, asked)
			}
		}
	}
	for _, r := range nameReaders {
		got, err := r.read(together(repository, ref))
		if err != nil {
			continue
		}
		route, err := ociroute.Parse(http.MethodGet, "/v2/"+got.repository+"/manifests/"+got.reference, "")
		if err != nil {
			continue
		}
		if route.Name != got.repository || route.Tag+route.Digest != got.reference {
			t.Errorf("%s asks for %+v, we serve %q %q", r.name, got, route.Name, route.Tag+route.Digest)
		}
	}
	// docker's own grammar is the specification's: neither accepts more.
	got, err := reference.ParseNormalizedNamed(host + "/" + repository)
	theirs := err == nil && reference.IsNameOnly(got) && reference.Path(got) == repository && reference.Domain(got) == host
	if theirs != ociroute.ValidName(repository) {
		t.Errorf("%q is a name to docker: %t, to us: %t", repository, theirs, !theirs)
	}
}

var plainNames = [][2]string{
	{"aa", "latest"}, {"team/app", "v1.0.0-rc.1_x"}, {"a/b/c/d/e/f", "_"}, {"a.b/c_d/e__f/g-h/i---j", "0"},
	{"manifests/manifests", "manifests"}, {"blobs/uploads", "list"}, {"tags/list", "tags"}, {"v2/referrers", "v2"},
	{"00/11", "A-B.C"}, {strings.Repeat("a", 128) + "/" + strings.Repeat("b", 100), strings.Repeat("t", 128)},
	{"team/app", dOne},
}

func TestEveryReaderReadsAPlainNameAsWeDo(t *testing.T) {
	for _, n := range plainNames {
		compareNames(t, n[0], n[1], true)
	}
}

// FuzzNames looks for a name that two readers take for two repositories.
func FuzzNames(f *testing.F) {
	for _, n := range plainNames {
		f.Add(n[0], n[1])
	}
	for _, n := range []string{
		"a//b", "a/../b", "./a", "a/", "/a", "A/b", "a%2Fb", "a/b%00", "a_b___c", "a.-b", "a..b", "-a", "a-", "a/manifests/x", "a:b", "a@b",
		"а/b", "a\\b", "a b", strings.Repeat("a/", 130) + "a", "library/a", "docker.io/a", "localhost/a", "x:5000/a",
	} {
		f.Add(n, "v1")
	}
	for _, ref := range []string{"", ".", "..", "a/b", "a:b", "sha256:" + strings.Repeat("A", 64), "sha256%3a" + strings.Repeat("a", 64), "v1@" + dOne, d512, "md5:" + strings.Repeat("a", 32), "-x", "a%20", strings.Repeat("t", 129)} {
		f.Add("team/app", ref)
	}
	f.Fuzz(func(t *testing.T, repository, ref string) { compareNames(t, repository, ref, false) })
}
