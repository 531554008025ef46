package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// An upload is begun with one server and ended with the next.
func TestAnUploadGoesOnAfterARestart(t *testing.T) {
	for name, end := range map[string]func(*harness.Gateway){
		"after a graceful stop": (*harness.Gateway).Stop,
		"after kill -9":         (*harness.Gateway).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			g := staffed(t, harness.Options{})
			content := bytes.Repeat([]byte("what was sent before the stop is not sent again "), 40<<10)
			half := len(content) / 2

			begun := g.Do(http.MethodPost, "/v2/"+team+"/app/blobs/uploads/", alice, password, nil, nil)
			if err := status(begun, http.StatusAccepted); err != nil {
				t.Fatal(err)
			}
			location := pathOf(t, begun)
			first := g.Do(http.MethodPatch, location, alice, password, chunk(0, half), bytes.NewReader(content[:half]))
			if err := status(first, http.StatusAccepted); err != nil {
				t.Fatal(err)
			}
			location = pathOf(t, first)

			end(g)
			g.Start()

			asked := g.Do(http.MethodGet, location, alice, password, nil, nil)
			if err := status(asked, http.StatusNoContent); err != nil {
				t.Fatal(err)
			}
			if got, want := asked.Header.Get("Range"), fmt.Sprintf("0-%d", half-1); got != want {
				t.Fatalf("the upload stands at %q, want %q", got, want)
			}
			second := g.Do(http.MethodPatch, pathOf(t, asked), alice, password, chunk(half, len(content)), bytes.NewReader(content[half:]))
			if err := status(second, http.StatusAccepted); err != nil {
				t.Fatal(err)
			}
			put := pathOf(t, second)
			separator := "?"
			if strings.Contains(put, "?") {
				separator = "&"
			}
			done := g.Do(http.MethodPut, put+separator+"digest="+url.QueryEscape(sum(content)), alice, password, nil, nil)
			if err := status(done, http.StatusCreated); err != nil {
				t.Fatal(err)
			}
			got := g.Do(http.MethodGet, "/v2/"+team+"/app/blobs/"+sum(content), alice, password, nil, nil)
			if got.Status != http.StatusOK || !bytes.Equal(got.Body, content) {
				t.Errorf("the blob: %d, %d bytes, want %d", got.Status, len(got.Body), len(content))
			}
		})
	}
}

func chunk(from, to int) http.Header {
	return http.Header{
		"Content-Type":  {"application/octet-stream"},
		"Content-Range": {fmt.Sprintf("%d-%d", from, to-1)},
	}
}

// pathOf answers where an upload goes on. A location may be a whole URL.
func pathOf(t testing.TB, r harness.Response) string {
	t.Helper()
	u, err := url.Parse(r.Header.Get("Location"))
	if err != nil || u.Path == "" {
		t.Fatalf("location %q: %v", r.Header.Get("Location"), err)
	}
	return u.RequestURI()
}

// The storage alone brings every image back.
func TestReindexBringsEverythingBackAfterTheDatabaseIsLost(t *testing.T) {
	g := staffed(t, harness.Options{})
	want := map[string]string{}
	for _, repository := range []string{team + "/app", team + "/deep/er/app", "other/app"} {
		for _, tag := range []string{"1", "2"} {
			want[g.Ref(repository, tag)] = seed(t, g, repository, tag, "1000")
		}
	}
	crane := harness.Crane(t)
	crane.Credentials(g.Host, harness.AdminUser, harness.AdminPassword)
	index := g.Ref(team+"/app", "both")
	crane.Run("index", "append", "-m", g.Ref(team+"/app", "1"), "-m", g.Ref(team+"/app", "2"), "-t", index).OK(t)
	want[index] = crane.Run("digest", index).OK(t)
	referrer := attach(t, g, team+"/app", want[g.Ref(team+"/app", "1")])

	g.Stop()
	loseDatabase(t, g)
	g.Start()
	if r := g.Do(http.MethodGet, "/v2/"+team+"/app/manifests/1", harness.AdminUser, harness.AdminPassword, harness.Accept, nil); r.Status != http.StatusNotFound {
		t.Fatalf("a digest that the index does not know is not served: got %d", r.Status)
	}
	t.Log(g.CLI("reindex").OK(t))

	for ref, digest := range want {
		if got := crane.Run("digest", ref).OK(t); got != digest {
			t.Errorf("%s is %s, was %s", ref, got, digest)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(ref, g.Host+"/"), ":")
		whole(t, g, name, digest)
	}
	if got := crane.Run("ls", g.Host+"/"+team+"/app").OK(t); got != "1\n2\nboth" {
		t.Errorf("tags: %q", got)
	}
	r := g.Do(http.MethodGet, "/v2/"+team+"/app/referrers/"+want[g.Ref(team+"/app", "1")], harness.AdminUser, harness.AdminPassword, nil, nil)
	if !strings.Contains(string(r.Body), referrer) {
		t.Errorf("the referrer %s is lost: %d %s", referrer, r.Status, r.Body)
	}

	// The projects are back too, private: who is in them storage cannot know.
	projects := g.CLI("project", "list", "--json").OK(t)
	for _, name := range []string{`"team"`, `"other"`} {
		if !strings.Contains(projects, name) {
			t.Errorf("project %s is lost: %s", name, projects)
		}
	}
	staff(t, g)
	alices := clients["crane"](t)
	alices.Login(g.Host, alice, password)
	ref := g.Ref(team+"/app", "3")
	alices.Push(harness.Image(t, harness.ImageSpec{Name: ref}), ref)
}

// attach pushes an SBOM that refers to a manifest, and answers its digest.
func attach(t testing.TB, g *harness.Gateway, repository, subject string) string {
	t.Helper()
	put := func(content []byte) string {
		t.Helper()
		begun := g.Do(http.MethodPost, "/v2/"+repository+"/blobs/uploads/", harness.AdminUser, harness.AdminPassword, nil, nil)
		if err := status(begun, http.StatusAccepted); err != nil {
			t.Fatal(err)
		}
		location := pathOf(t, begun)
		separator := "?"
		if strings.Contains(location, "?") {
			separator = "&"
		}
		done := g.Do(http.MethodPut, location+separator+"digest="+url.QueryEscape(sum(content)), harness.AdminUser, harness.AdminPassword, nil, bytes.NewReader(content))
		if err := status(done, http.StatusCreated); err != nil {
			t.Fatal(err)
		}
		return sum(content)
	}
	config, sbom := []byte("{}"), []byte(`{"spdxVersion":"SPDX-2.3","name":"app"}`)
	size := len(g.Do(http.MethodGet, "/v2/"+repository+"/manifests/"+subject, harness.AdminUser, harness.AdminPassword, harness.Accept, nil).Body)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/spdx+json",`+
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/spdx+json","digest":%q,"size":%d}],`+
		`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d}}`,
		put(config), len(config), put(sbom), len(sbom), subject, size)
	done := g.Do(http.MethodPut, "/v2/"+repository+"/manifests/"+sum(manifest), harness.AdminUser, harness.AdminPassword,
		http.Header{"Content-Type": {"application/vnd.oci.image.manifest.v1+json"}}, bytes.NewReader(manifest))
	if err := status(done, http.StatusCreated); err != nil {
		t.Fatal(err)
	}
	if got := done.Header.Get("OCI-Subject"); got != subject {
		t.Errorf("OCI-Subject is %q, want %s: clients would write the fallback tag", got, subject)
	}
	return sum(manifest)
}

// loseDatabase deletes the files of the database and leaves the storage.
func loseDatabase(t testing.TB, g *harness.Gateway) {
	t.Helper()
	lost := 0
	err := filepath.WalkDir(g.DataDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "storage" {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasPrefix(d.Name(), "bondgate.db") {
			lost++
			return os.Remove(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 {
		t.Fatal("no database was found to lose")
	}
}
