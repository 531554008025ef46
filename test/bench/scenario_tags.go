package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	manyTags = 50_000
	pageSize = 100
	walkSize = 1000 // the size of the pages of a walk over all tags
	tagsEach = 40   // tags of one image, set by one request
)

const tagsRepo = "bench/tags"

// tags compares pages of a list of 50,000 tags, and the walk over all of them.
// distribution is left out: it lists the folders of all tags for every page.
func (b *bench) tags() error {
	others := slices.DeleteFunc(b.registries(), func(t *target) bool { return t.name == "distribution" })
	for _, t := range append([]*target{b.ours}, others...) {
		fill := makeTags
		if t.name == "zot" {
			fill = writeTags
		}
		began := time.Now()
		if err := fill(t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%-42s %10.1fs\n", "50,000 tags of "+t.name+" made in", time.Since(began).Seconds())
	}
	for _, page := range []struct{ name, after string }{
		{"first 100 of 50,000 tags", ""}, {"last 100 of 50,000 tags", fmt.Sprintf("&last=t%05d", manyTags-pageSize-1)},
	} {
		err := b.compare(page.name+", 4 connections", "/s", others, func(t *target) (float64, error) {
			auth, err := t.authorize(adminName, adminPassword, "repository:"+tagsRepo+":pull")
			if err != nil {
				return 0, err
			}
			req := request("GET", t.addr, fmt.Sprintf("/v2/%s/tags/list?n=%d%s", tagsRepo, pageSize, page.after), auth, nil, nil)
			return hammer(t.addr, 4, b.o.duration, func(int, int) []byte { return req })
		})
		if err != nil {
			return err
		}
	}
	once := *b // zot reads all of the list for every page: this takes it a minute
	once.o.rounds = 1
	return once.compare("all tags in pages of 1,000, tags a second", "/s", others, walkTags)
}

// walkTags reads all tags page by page, and answers tags a second.
func walkTags(t *target) (float64, error) {
	auth, err := t.authorize(adminName, adminPassword, "repository:"+tagsRepo+":pull")
	if err != nil {
		return 0, err
	}
	began, n, last := time.Now(), 0, ""
	for {
		page, err := tagsPage(fmt.Sprintf("http://%s/v2/%s/tags/list?n=%d%s", t.addr, tagsRepo, walkSize, last), auth)
		if err != nil {
			return 0, err
		}
		n += len(page)
		if len(page) < walkSize {
			break
		}
		last = "&last=" + page[walkSize-1]
	}
	if n != manyTags {
		return 0, fmt.Errorf("it lists %d tags of %d", n, manyTags)
	}
	return manyTags / time.Since(began).Seconds(), nil
}

// tagsPage reads one page with the standard client, since zot's longer answers
// are chunked.
func tagsPage(url, auth string) ([]string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var page struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("a page of tags: %s", resp.Status), err)
	}
	return page.Tags, nil
}

// makeTags pushes images of 40 tags each, by PUT of the digest with ?tag=…&tag=….
func makeTags(t *target) error {
	w, err := dial(t.addr)
	if err != nil {
		return err
	}
	defer w.close()
	im, auth := newImage(1<<10), ""
	for n := 0; n < manyTags; n += tagsEach {
		if n%5000 == 0 { // tokens live for minutes
			if auth, err = t.authorize(adminName, adminPassword, "repository:"+tagsRepo+":pull,push"); err != nil {
				return err
			}
		}
		if err := im.vary(uint64(n)).push(w, tagsRepo, fmt.Sprintf("t%05d", n), auth); err != nil {
			return err
		}
		q := ""
		for i := n + 1; i < n+tagsEach; i++ {
			q += fmt.Sprintf("&tag=t%05d", i)
		}
		a, err := w.do(request("PUT", w.addr, "/v2/"+tagsRepo+"/manifests/"+im.manifestDigest+"?"+q[1:], auth,
			map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, im.manifest), true)
		if err != nil {
			return err
		}
		if a.status != 201 {
			return fmt.Errorf("tag %d: %d %s", n, a.status, a.body)
		}
	}
	return nil
}

// writeTags writes the repository as zot keeps it, an OCI layout with a
// descriptor in index.json for each tag: pushed one after the other they take
// more than ten minutes, since each rewrites that file.
func writeTags(t *target) error {
	folder := filepath.Join(t.dir, "data", tagsRepo)
	blobs := filepath.Join(folder, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	var index bytes.Buffer
	index.WriteString(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`)
	im := newImage(1 << 10)
	for n := range manyTags {
		if n%tagsEach == 0 {
			im.vary(uint64(n))
			for d, content := range map[string][]byte{im.layerD: im.layer, im.confD: im.config, im.manifestDigest: im.manifest} {
				if err := os.WriteFile(filepath.Join(blobs, d[len("sha256:"):]), content, 0o600); err != nil {
					return err
				}
			}
		}
		if n > 0 {
			index.WriteByte(',')
		}
		fmt.Fprintf(&index, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"t%05d"}}`,
			im.manifestDigest, len(im.manifest), n)
	}
	index.WriteString("]}")
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600),
		os.WriteFile(filepath.Join(folder, "index.json"), index.Bytes(), 0o600))
}
