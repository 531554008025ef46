package attack_test

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 2: a right to create that lets one replace (zot CVE-2026-31801: who
// could only create could overwrite "latest").

// fixTags makes the tags of these patterns immutable in red.
func (w *world) fixTags(patterns ...string) {
	w.t.Helper()
	w.api(http.MethodPatch, "/projects/red", map[string]any{"packs": []any{
		map[string]any{"name": "image", "mode": "deny", "config": map[string]any{"immutable_tags": patterns}},
	}})
}

// pushAt pushes a manifest under a reference, which may have a query.
func (w *world) pushAt(user string, im image, reference, mediaType string) harness.Response {
	w.t.Helper()
	return w.as(user, http.MethodPut, "/v2/"+im.repo+"/manifests/"+reference, http.Header{"Content-Type": {mediaType}}, im.manifest)
}

// names fails the test unless the tag is on the image, by GET and by HEAD.
func (w *world) names(tag string, im image) {
	w.t.Helper()
	path := "/v2/" + im.repo + "/manifests/" + tag
	if r := w.as(alice, http.MethodGet, path, harness.Accept, nil); r.Status != http.StatusOK || !bytes.Equal(r.Body, im.manifest) {
		w.t.Errorf("GET %s: %d %.200s", tag, r.Status, r.Body)
	}
	if r := w.as(alice, http.MethodHead, path, harness.Accept, nil); r.Status != http.StatusOK || r.Header.Get("Docker-Content-Digest") != im.digest {
		w.t.Errorf("HEAD %s: %d %s", tag, r.Status, r.Header.Get("Docker-Content-Digest"))
	}
}

func digest512(b []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(b)) }

func TestAnImmutableTagIsWrittenOnce(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.fixTags("v*", "latest")
	first := map[string]image{}
	for _, tag := range []string{"v1", "v1.0-rc.1", "latest"} {
		first[tag] = w.push(alice, newImage("red/app", tag, "first "+tag, "1000", nil))
	}
	// What tries to take its place is in the repository already, under a tag that may move.
	other := w.push(alice, newImage("red/app", "dev", "other", "1000", nil))
	w.push(alice, newImage("red/app", "dev", "another", "1000", nil))
	signature := newImage("red/app", "sig", "signature", "1000", func(m map[string]any) {
		m["layers"] = []any{descriptor(simpleSigning, []byte("layer signature"))}
	})
	w.push(alice, signature)
	index := image{repo: "red/app", tag: "idx", manifest: mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": indexType, "manifests": []any{descriptor(manifestType, other.manifest)},
	})}
	other512 := digest512(other.manifest)

	for tag, im := range first {
		for _, user := range []string{alice, mike, pat, admin} {
			for what, r := range map[string]harness.Response{
				"a push by tag":                             w.pushAt(user, other, tag, manifestType),
				"a push by digest with the tag":             w.pushAt(user, other, other.digest+"?tag="+tag, manifestType),
				"a push by digest with the tag among":       w.pushAt(user, other, other.digest+"?tag=fresh&tag="+tag, manifestType),
				"a push by another digest with the tag":     w.pushAt(user, other, other512+"?tag="+tag, manifestType),
				"an index":                                  w.pushAt(user, index, tag, indexType),
				"a signature":                               w.pushAt(user, signature, tag, manifestType),
				"the tag taken away":                        w.as(user, http.MethodDelete, "/v2/red/app/manifests/"+tag, nil, nil),
				"the manifest taken away":                   w.as(user, http.MethodDelete, "/v2/red/app/manifests/"+im.digest, nil, nil),
				"the manifest taken away by another digest": w.as(user, http.MethodDelete, "/v2/red/app/manifests/"+digest512(im.manifest), nil, nil),
			} {
				if r.Status != http.StatusForbidden && r.Status != http.StatusNotFound {
					t.Errorf("%s: %s by %s: %d %s", tag, what, user, r.Status, r.Body)
				}
			}
		}
		w.names(tag, im)
	}
	if r := w.as(alice, http.MethodGet, "/v2/red/app/manifests/fresh", harness.Accept, nil); r.Status != http.StatusNotFound {
		t.Errorf("half of a refused push was done: %d", r.Status)
	}

	t.Run("the same bytes may be pushed again, by whatever digest", func(t *testing.T) {
		im := first["v1"]
		for _, reference := range []string{"v1", im.digest + "?tag=v1", digest512(im.manifest) + "?tag=v1"} {
			if r := w.pushAt(alice, im, reference, manifestType); r.Status != http.StatusCreated {
				t.Errorf("%s: %d %s", reference, r.Status, r.Body)
			}
		}
		w.names("v1", im)
		if r := w.as(mike, http.MethodDelete, "/v2/red/app/manifests/"+digest512(im.manifest), nil, nil); r.Status != http.StatusForbidden {
			t.Errorf("deleted by its other digest: %d %s", r.Status, r.Body)
		}
	})
	t.Run("a tag that differs in case is another, and is as immutable", func(t *testing.T) {
		w.fixTags("v*", "latest", "V*")
		im := w.push(alice, newImage("red/app", "V1", "capital", "1000", nil))
		if r := w.pushAt(alice, other, "V1", manifestType); r.Status != http.StatusForbidden {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		w.names("V1", im)
		w.names("v1", first["v1"])
	})
	t.Run("an index that lists an immutable image can go, the image cannot", func(t *testing.T) {
		idx := image{repo: "red/app", manifest: mustJSON(map[string]any{
			"schemaVersion": 2, "mediaType": indexType, "manifests": []any{descriptor(manifestType, first["v1"].manifest)},
		})}
		idx.digest = digestOf(idx.manifest)
		if r := w.pushAt(alice, idx, "many", indexType); r.Status != http.StatusCreated {
			t.Fatal(r.Status, string(r.Body))
		}
		if r := w.as(mike, http.MethodDelete, "/v2/red/app/manifests/"+idx.digest, nil, nil); r.Status != http.StatusAccepted {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		w.names("v1", first["v1"])
	})
}

const createOnly = `package bondgate.rules.createonly

# METADATA
# title: What is there stays as it is
# custom:
#   code: createonly.tag
#   remediation: Push under a new tag.
deny contains reason if {
	input.action == "manifest.push"
	input.reference.kind == "tag"
	input.reference.exists
	reason := {"code": "createonly.tag", "msg": "the tag is there"}
}
`

func TestWhoMayOnlyCreateOverwritesNoTagAtAll(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "createonly.rego"), []byte(createOnly), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Policy: dir})
	for _, tag := range []string{"latest", "v1", "LATEST", "_", "0", "sha256-" + digestOf(nil)[len("sha256:"):] + ".sig"} {
		im := w.push(alice, newImage("red/app", tag, "created "+tag, "1000", nil))
		other := newImage("red/app", tag, "replaced "+tag, "1000", nil)
		for _, content := range [][]byte{other.layer, other.config} {
			if r := w.upload(alice, other.repo, content); r.Status != http.StatusCreated {
				t.Fatal(r.Status, string(r.Body))
			}
		}
		for _, user := range []string{alice, mike, pat, admin} {
			for _, reference := range []string{tag, other.digest + "?tag=" + tag} {
				if r := w.pushAt(user, other, reference, manifestType); r.Status != http.StatusForbidden {
					t.Errorf("%s by %s: %d %s", reference, user, r.Status, r.Body)
				}
			}
		}
		w.names(tag, im)
	}
}

// Of pushes that come at once and are all a first one, one is the first.
func TestOfManyFirstPushesOneIsTheFirst(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.fixTags("v*")
	raceToCreate(t, 8, w)
}

// replicas are two servers on one PostgreSQL and one storage.
func replicas(t *testing.T) (a, b *world) {
	t.Helper()
	dsn, root := harness.StartPostgres(t), harness.ShortDir(t)
	o := harness.Options{Config: "database:\n  dsn: " + dsn + "\nstorage:\n  driver: filesystem\n  parameters:\n    rootdirectory: " + root + "\n"}
	a = newWorld(t, o)
	b = &world{harness.StartGateway(t, o), t}
	return a, b
}

// obeys waits until a replica has heard from another that tags v* are immutable.
func (w *world) obeys(one, two image) {
	w.t.Helper()
	n := 0
	harness.Eventually(w.t, "the other replica knows the rule", func() error {
		n++
		tag := fmt.Sprintf("v-probe-%d", n)
		if r := w.pushAt(alice, one, tag, manifestType); r.Status != http.StatusCreated {
			return fmt.Errorf("the first push: %d %s", r.Status, r.Body)
		}
		if r := w.pushAt(alice, two, tag, manifestType); r.Status != http.StatusForbidden {
			return fmt.Errorf("the second push: %d %s", r.Status, r.Body)
		}
		return nil
	})
}

func TestOfManyFirstPushesToTwoReplicasOneIsTheFirst(t *testing.T) {
	a, b := replicas(t)
	a.fixTags("v*")
	b.obeys(a.push(alice, newImage("red/app", "dev", "one", "1000", nil)), a.push(alice, newImage("red/app", "dev", "two", "1000", nil)))
	raceToCreate(t, 8, a, b)
}

// raceToCreate pushes different images to one tag of the pattern v* from many
// clients of the servers at once, and looks that one of them got it for good.
func raceToCreate(t *testing.T, rounds int, servers ...*world) {
	const clients = 8
	images := make([]image, clients)
	for i := range images {
		images[i] = servers[0].push(alice, newImage("red/app", fmt.Sprintf("own%d", i), fmt.Sprintf("race %d", i), "1000", nil))
	}
	for round := range rounds {
		tag := fmt.Sprintf("v1.%d", round)
		answers := make([]harness.Response, clients)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				<-start
				reference := tag
				if i%2 == 1 {
					reference = images[i].digest + "?tag=" + tag
				}
				answers[i] = servers[i%len(servers)].pushAt(alice, images[i], reference, manifestType)
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, r := range answers {
			switch {
			case r.Status == http.StatusCreated && winner < 0:
				winner = i
			case r.Status == http.StatusCreated:
				t.Errorf("%s: %d and %d were both the first", tag, winner, i)
			case r.Status == http.StatusForbidden && code(r) == "DENIED", r.Status == http.StatusConflict:
			default:
				t.Errorf("%s: %d answers %d %s", tag, i, r.Status, r.Body)
			}
		}
		if winner < 0 {
			t.Errorf("%s: nobody was the first", tag)
			continue
		}
		for _, w := range servers {
			w.names(tag, images[winner])
		}
	}
}

// A deletion is judged by the tags that a manifest has; one that another replica
// put on it since must not go with it.
func TestADeletionTakesNoTagThatItWasNotJudgedBy(t *testing.T) {
	a, b := replicas(t)
	a.fixTags("v*")
	b.obeys(a.push(alice, newImage("red/app", "dev", "one", "1000", nil)), a.push(alice, newImage("red/app", "dev", "two", "1000", nil)))
	for round := range 8 {
		tag := fmt.Sprintf("v2.%d", round)
		im := a.push(alice, newImage("red/app", fmt.Sprintf("dev%d", round), "deletion "+tag, "1000", nil))
		harness.Eventually(t, "the other replica has the manifest", func() error {
			if r := b.as(mike, http.MethodGet, "/v2/red/app/manifests/"+im.digest, harness.Accept, nil); r.Status != http.StatusOK {
				return fmt.Errorf("%d", r.Status)
			}
			return nil
		})
		// Now the other replica keeps in memory that there is no immutable tag on it.
		if r := a.pushAt(alice, im, tag, manifestType); r.Status != http.StatusCreated {
			t.Fatal(r.Status, string(r.Body))
		}
		r := b.as(mike, http.MethodDelete, "/v2/red/app/manifests/"+im.digest, nil, nil)
		if r.Status != http.StatusForbidden {
			t.Errorf("deleted with its immutable tag: %d %s", r.Status, r.Body)
		}
		a.names(tag, im)
	}
}
