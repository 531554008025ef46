package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// image is what a push needs, prepared before the clock runs.
type image struct {
	layer, config  []byte
	manifest       []byte
	layerD, confD  string
	manifestDigest string
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// newImage makes an image with one random layer of size bytes.
func newImage(size int) *image {
	im := &image{layer: make([]byte, size)}
	_, _ = rand.Read(im.layer)
	return im.seal()
}

func (im *image) seal() *image {
	im.layerD = digestOf(im.layer)
	im.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"User":"1000"},"rootfs":{"type":"layers","diff_ids":[%q]}}`, im.layerD)
	im.confD = digestOf(im.config)
	im.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		im.confD, len(im.config), im.layerD, len(im.layer))
	im.manifestDigest = digestOf(im.manifest)
	return im
}

// vary makes the image another one, without paying for new random bytes.
func (im *image) vary(n uint64) *image {
	binary.LittleEndian.PutUint64(im.layer, n)
	return im.seal()
}

// push uploads both blobs and the manifest over w.
func (im *image) push(w *wire, repo, tag, auth string) error {
	for _, b := range []struct {
		d    string
		data []byte
	}{{im.layerD, im.layer}, {im.confD, im.config}} {
		a, err := w.do(request("POST", w.addr, "/v2/"+repo+"/blobs/uploads/", auth, nil, nil), true)
		if err != nil {
			return err
		}
		if a.status != 202 {
			return fmt.Errorf("start an upload: %d %s", a.status, a.body)
		}
		at := path(a.location)
		sep := "?"
		for i := range at {
			if at[i] == '?' {
				sep = "&"
			}
		}
		a, err = w.do(request("PUT", w.addr, at+sep+"digest="+b.d, auth, map[string]string{"Content-Type": "application/octet-stream"}, b.data), true)
		if err != nil {
			return err
		}
		if a.status != 201 {
			return fmt.Errorf("finish an upload: %d %s", a.status, a.body)
		}
	}
	a, err := w.do(request("PUT", w.addr, "/v2/"+repo+"/manifests/"+tag, auth,
		map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, im.manifest), true)
	if err != nil {
		return err
	}
	if a.status != 201 {
		return fmt.Errorf("put the manifest: %d %s", a.status, a.body)
	}
	return nil
}

// pushes lets clients push images of 1 MiB for d, each client into the
// repository that repo names for it, and answers pushes a second.
func pushes(t *target, clients int, d time.Duration, repo func(client int) string) (float64, error) {
	images := make([]*image, clients)
	auths := make([]string, clients)
	for c := range clients {
		images[c] = newImage(1 << 20)
		auth, err := t.authorize(adminName, adminPassword, "repository:"+repo(c)+":pull,push")
		if err != nil {
			return 0, err
		}
		auths[c] = auth
	}
	return together(t.addr, clients, d, func(w *wire, c, i int) error {
		im := images[c].vary(uint64(time.Now().UnixNano()))
		return im.push(w, repo(c), fmt.Sprintf("t%d-%d", c, i), auths[c])
	})
}
