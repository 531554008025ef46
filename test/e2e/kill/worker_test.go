package kill_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// operation is one request, or the few of an upload, with what it does when it is
// acknowledged. It may be tried again.
type operation struct {
	kind   string
	change change
	// send returns nil when it is acknowledged. again says that an earlier try had
	// no answer: what it finds done is then its own doing.
	send func(again bool) error
}

// worker is one client with two repositories of its own, in two projects, and a
// memory of what it was promised. It does one thing at a time.
type worker struct {
	*client
	rnd   *rand.Rand
	repos [2]*repository
	next  int

	// troubled says that outages are to be expected now.
	troubled *atomic.Bool
	// lenient says that the server may have forgotten uploads: it had no room for
	// them, or lost its database.
	lenient bool
	// pending is what has no answer yet, at the kill or because of an outage.
	pending *operation
	// wrong is an answer that neither a crash nor an outage explains.
	wrong error

	acknowledged map[string]int
	// outages are answers that said to try again, and continued uploads that went
	// on after a kill. What had no answer was whole or absent, and then tried again
	// (retried) or given up (abandoned).
	outages, continued                int
	whole, absent, retried, abandoned int
}

func newWorker(c *client, n int, seed uint64, troubled *atomic.Bool) *worker {
	return &worker{
		client: c, rnd: rand.New(rand.NewPCG(seed, 2)), troubled: troubled, acknowledged: map[string]int{},
		repos: [2]*repository{newRepository(fmt.Sprintf("kill/c%d", n)), newRepository(fmt.Sprintf("mount/c%d", n))},
	}
}

// work does one thing after the other until stop is closed or the server is gone.
func (w *worker) work(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := w.step(stop); err != nil {
			if !isCut(err) && !(outage(err) && w.pending != nil) && w.wrong == nil {
				w.wrong = err
			}
			return
		}
	}
}

// step chooses what a registry's clients do, pushes most.
func (w *worker) step(stop <-chan struct{}) error {
	repo := w.repos[w.rnd.IntN(2)]
	images := repo.pick(func(c *content) bool { return c.mediaType == manifestType })
	n := w.rnd.IntN(100)
	switch {
	case n < 40 || len(images) < 3:
		return w.pushImage(repo, nil, stop)
	case n < 48:
		return w.pushImage(repo, choose(w.rnd, images), stop) // a referrer
	case n < 54:
		return w.pushIndex(repo, images, stop)
	case n < 66:
		return w.moveTag(repo, choose(w.rnd, images), stop)
	case n < 73:
		return w.deleteTag(repo, stop)
	case n < 80:
		return w.deleteManifest(repo, stop)
	case n < 86:
		return w.deleteBlob(repo, stop)
	case n < 90:
		return w.deleteNamedBlob(repo, choose(w.rnd, images))
	case n < 96:
		return w.mount(repo, stop)
	default:
		return w.pull(repo, choose(w.rnd, images))
	}
}

func choose[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

// perform tries until the operation is acknowledged. In an outage it goes on
// trying, mostly; a client that gives up leaves it pending.
func (w *worker) perform(o *operation, stop <-chan struct{}) error {
	w.pending = o
	for again := false; ; again = true {
		err := o.send(again)
		if err == nil {
			w.done(o)
			return nil
		}
		if !w.troubled.Load() || !outage(err) && !isCut(err) {
			return err
		}
		w.outages++
		if w.rnd.IntN(12) == 0 {
			return err
		}
		select {
		case <-stop:
			return err
		case <-time.After(time.Duration(w.rnd.IntN(8)) * time.Millisecond):
		}
	}
}

func (w *worker) done(o *operation) {
	o.change.apply()
	w.acknowledged[o.kind]++
	w.pending = nil
}

func (w *worker) bytes(n int) []byte {
	out := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := w.rnd.Uint64()
		for k := range 8 {
			out[i+k] = byte(v >> (8 * k))
		}
	}
	return out
}

// size is mostly small, and sometimes more than one write.
func (w *worker) size() int {
	if w.rnd.IntN(8) == 0 {
		return 9 + w.rnd.IntN(512<<10)
	}
	return 9 + w.rnd.IntN(8<<10)
}

// upload is one blob on its way; location is where an upload of it stands.
func (w *worker) upload(repo *repository, data []byte, stop <-chan struct{}) (*content, error) {
	blob := repo.know(&content{digest: digestOf(data), body: data})
	if blob.there {
		return blob, nil
	}
	u := &uploading{w: w, repo: repo.name, blob: blob, chunked: w.rnd.IntN(3) > 0}
	return blob, w.perform(&operation{
		kind: "blob", change: change{repo: repo, item: blob, comes: true}, send: u.send,
	}, stop)
}

func (w *worker) pushImage(repo *repository, subject *content, stop <-chan struct{}) error {
	var layers []*content
	for range 1 + w.rnd.IntN(2) {
		if shared := repo.pick(func(c *content) bool { return !c.manifest() }); len(shared) > 0 && w.rnd.IntN(4) == 0 {
			layers = append(layers, choose(w.rnd, shared))
			continue
		}
		layer, err := w.upload(repo, w.bytes(w.size()), stop)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	w.next++
	config, err := w.upload(repo, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"User":"%d"},"rootfs":{"type":"layers","diff_ids":[%q]}}`,
		w.next, layers[0].digest), stop)
	if err != nil {
		return err
	}
	m := image(config, layers, subject)
	if subject != nil {
		return w.put("referrer", repo, m, nil, stop)
	}
	return w.put("push", repo, m, []string{fmt.Sprintf("t%d", w.next), "latest"}, stop)
}

func (w *worker) pushIndex(repo *repository, images []*content, stop <-chan struct{}) error {
	w.next++
	children := []*content{choose(w.rnd, images), choose(w.rnd, images)}
	return w.put("index", repo, index(children, w.next), []string{fmt.Sprintf("i%d", w.next)}, stop)
}

// moveTag points one of a few tags to a manifest that is there.
func (w *worker) moveTag(repo *repository, m *content, stop <-chan struct{}) error {
	return w.put("tag move", repo, m, []string{fmt.Sprintf("moving%d", w.rnd.IntN(3))}, stop)
}

func (w *worker) put(kind string, repo *repository, m *content, tags []string, stop <-chan struct{}) error {
	m = repo.know(m)
	at := manifestPath(repo.name, m.digest)
	if len(tags) == 1 {
		at = manifestPath(repo.name, tags[0])
	} else {
		for i, tag := range tags {
			at += string("?&"[min(i, 1)]) + "tag=" + tag
		}
	}
	moves := map[string]string{}
	for _, tag := range tags {
		moves[tag] = m.digest
	}
	return w.perform(&operation{
		kind: kind, change: change{repo: repo, item: m, comes: true, tags: moves},
		send: func(bool) error {
			_, err := w.send(http.MethodPut, at, m.mediaType, m.body, http.StatusCreated)
			return err
		},
	}, stop)
}

// remove is a DELETE. Where an earlier try got through unheard, 404 is its answer.
func (w *worker) remove(kind, target string, c change, stop <-chan struct{}) error {
	return w.perform(&operation{kind: kind, change: c, send: func(again bool) error {
		want := []int{http.StatusAccepted}
		if again {
			want = append(want, http.StatusNotFound)
		}
		_, err := w.send(http.MethodDelete, target, "", nil, want...)
		return err
	}}, stop)
}

func (w *worker) deleteTag(repo *repository, stop <-chan struct{}) error {
	var tags []string
	for tag := range repo.tags {
		tags = append(tags, tag)
	}
	if len(tags) == 0 {
		return nil
	}
	slices.Sort(tags)
	tag := choose(w.rnd, tags)
	return w.remove("tag delete", manifestPath(repo.name, tag), change{repo: repo, tags: map[string]string{tag: ""}}, stop)
}

// deleteManifest removes one that no index lists, with its tags.
func (w *worker) deleteManifest(repo *repository, stop <-chan struct{}) error {
	free := repo.pick(func(c *content) bool { return c.manifest() && len(repo.namers(c.digest)) == 0 })
	if len(free) == 0 {
		return nil
	}
	m := choose(w.rnd, free)
	gone := map[string]string{}
	for tag, d := range repo.tags {
		if d == m.digest {
			gone[tag] = ""
		}
	}
	return w.remove("manifest delete", manifestPath(repo.name, m.digest), change{repo: repo, item: m, tags: gone}, stop)
}

// deleteBlob removes one that no manifest names.
func (w *worker) deleteBlob(repo *repository, stop <-chan struct{}) error {
	free := repo.pick(func(c *content) bool { return !c.manifest() && len(repo.namers(c.digest)) == 0 })
	if len(free) == 0 {
		return nil
	}
	b := choose(w.rnd, free)
	return w.remove("blob delete", blobPath(repo.name, b.digest), change{repo: repo, item: b}, stop)
}

// deleteNamedBlob asks for what must not be: a manifest would lose its blob.
func (w *worker) deleteNamedBlob(repo *repository, m *content) error {
	a, err := w.ask(http.MethodDelete, blobPath(repo.name, choose(w.rnd, m.blobs)), nil, nil, false)
	switch {
	case err != nil && w.troubled.Load():
		return nil
	case err != nil:
		return err
	case a.status == http.StatusMethodNotAllowed, a.status >= 500 && w.troubled.Load():
		w.acknowledged["blob delete refused"]++
		return nil
	}
	return fmt.Errorf("deleting a blob that a manifest names is answered %d %s", a.status, a.body)
}

// mount takes a blob of the other project's repository.
func (w *worker) mount(repo *repository, stop <-chan struct{}) error {
	from := w.repos[0]
	if repo == from {
		from = w.repos[1]
	}
	offered := from.pick(func(c *content) bool {
		there := repo.content[c.digest]
		return !c.manifest() && (there == nil || !there.there)
	})
	if len(offered) == 0 {
		return nil
	}
	source := choose(w.rnd, offered)
	blob := repo.know(&content{digest: source.digest, body: source.body})
	return w.perform(&operation{
		kind: "mount", change: change{repo: repo, item: blob, comes: true},
		send: func(bool) error {
			_, err := w.send(http.MethodPost, "/v2/"+repo.name+"/blobs/uploads/?mount="+blob.digest+"&from="+from.name, "", nil, http.StatusCreated)
			return err
		},
	}, stop)
}

// pull reads what is there, bit for bit, while everything else goes on.
func (w *worker) pull(repo *repository, m *content) error {
	for _, c := range append([]*content{m}, repo.named(m)...) {
		body, found, err := w.get(c.path(repo.name))
		switch {
		case err != nil && w.troubled.Load() && (outage(err) || isCut(err)):
			return nil
		case err != nil:
			return err
		case !found || !bytes.Equal(body, c.body):
			return fmt.Errorf("lost while serving: %s (found: %v, %d bytes of %d)", c.path(repo.name), found, len(body), len(c.body))
		}
	}
	w.acknowledged["pull"]++
	return nil
}

// named are the blobs that a manifest names.
func (r *repository) named(m *content) (out []*content) {
	for _, d := range m.blobs {
		out = append(out, r.content[d])
	}
	return out
}
