package kill_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// racer pushes manifests while somebody deletes a blob that they name. Who is
// first may win; a manifest that was acknowledged has its blobs.
type racer struct {
	*client
	rnd      *rand.Rand
	repo     *repository
	troubled *atomic.Bool
	next     int

	// pending is a manifest without an answer.
	pending *content
	// whole are the manifests that must have all of their blobs; checked is how
	// many of them were looked at.
	whole             []*content
	checked           int
	pushed, withdrawn int
	wrong             error
}

func newRacer(c *client, seed uint64, troubled *atomic.Bool) *racer {
	return &racer{client: c, rnd: rand.New(rand.NewPCG(seed, 3)), repo: newRepository("kill/race"), troubled: troubled}
}

func (r *racer) work(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := r.race(); err != nil {
			if r.troubled.Load() && (outage(err) || isCut(err)) {
				time.Sleep(5 * time.Millisecond) // as a client that tries again
				continue
			}
			if !isCut(err) {
				r.wrong = err
			}
			return
		}
	}
}

func (r *racer) upload(b *content) error {
	_, err := r.send(http.MethodPost, "/v2/"+r.repo.name+"/blobs/uploads/?digest="+b.digest, "application/octet-stream", b.body, http.StatusCreated)
	return err
}

// race uploads two blobs, and deletes the one while a manifest of both is pushed;
// every other time it is uploaded again just before.
func (r *racer) race() error {
	r.next++
	layer := &content{body: fmt.Appendf(nil, "layer %d %d", r.next, r.rnd.Uint64())}
	config := &content{body: fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]},"n":%d}`, r.rnd.Uint64())}
	for _, b := range []*content{layer, config} {
		b.digest = digestOf(b.body)
		if err := r.upload(b); err != nil {
			return err
		}
	}
	m := image(config, []*content{layer}, nil)
	for _, c := range []*content{m, layer, config} {
		r.repo.know(c)
	}
	if r.pending != nil {
		// An outage left it without an answer: a manifest that is there is whole.
		if err := r.settle(); err != nil {
			return err
		}
	}
	again := r.rnd.IntN(2) == 0
	r.pending = m
	var deleted *answer
	var deleteErr error
	var both sync.WaitGroup
	both.Go(func() {
		deleted, deleteErr = r.ask(http.MethodDelete, blobPath(r.repo.name, layer.digest), nil, nil, false)
	})
	err := func() error {
		if again {
			if err := r.upload(layer); err != nil {
				return err
			}
		}
		_, err := r.send(http.MethodPut, manifestPath(r.repo.name, m.digest), m.mediaType, m.body, http.StatusCreated, http.StatusBadRequest)
		return err
	}()
	both.Wait()
	if err != nil {
		return err
	}
	if deleteErr == nil && deleted.status == http.StatusAccepted {
		r.withdrawn++
	}
	return r.settle()
}

// settle finds out whether the manifest is there, and wants it whole if it is.
func (r *racer) settle() error {
	m := r.pending
	body, there, err := r.get(manifestPath(r.repo.name, m.digest))
	if err != nil {
		return err
	}
	r.pending = nil
	if !there {
		return nil
	}
	r.pushed++
	r.whole = append(r.whole, m)
	if !bytes.Equal(body, m.body) {
		return found("lost", "%s holds %d other bytes", m.digest, len(body))
	}
	return nil
}

// judge wants every manifest that was there once to have its blobs: served, and in
// the folder.
func (r *racer) judge(f folder, all bool) error {
	if r.pending != nil {
		if err := r.settle(); err != nil {
			return err
		}
	}
	if all {
		r.checked = 0
	}
	manifests, err := f.links(r.repo.name, "_manifests/revisions")
	if err != nil {
		return err
	}
	blobs, err := f.links(r.repo.name, "_layers")
	if err != nil {
		return err
	}
	for _, m := range r.whole[r.checked:] {
		for _, c := range append([]*content{m}, r.repo.named(m)...) {
			body, there, err := r.patient(c.path(r.repo.name))
			switch {
			case err != nil:
				return err
			case !there || !bytes.Equal(body, c.body):
				return found("lost", "%s, after a race with a delete (found: %v)", c.path(r.repo.name), there)
			case c.manifest() && !manifests[c.digest], !c.manifest() && !blobs[c.digest]:
				return found("lost", "%s has no link, after a race with a delete", c.path(r.repo.name))
			}
		}
	}
	r.checked = len(r.whole)
	return nil
}
