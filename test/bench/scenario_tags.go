package main

import (
	"fmt"
	"time"
)

const (
	manyTags = 50_000
	pageSize = 100
	tagsEach = 100 // tags of one image
)

// tags compares the first page of 50,000 tags with the last.
func (b *bench) tags() error {
	const repo = "bench/tags"
	auth, err := b.ours.authorize(adminName, adminPassword, "repository:"+repo+":pull,push")
	if err != nil {
		return err
	}
	w, err := dial(b.ours.addr)
	if err != nil {
		return err
	}
	defer w.close()
	im := newImage(1 << 10)
	began := time.Now()
	for n := 0; n < manyTags; n += tagsEach {
		// Many tags in one request: PUT by digest with ?tag=…&tag=….
		if err := im.vary(uint64(n)).push(w, repo, fmt.Sprintf("t%05d", n), auth); err != nil {
			return err
		}
		q := ""
		for i := n + 1; i < n+tagsEach; i++ {
			q += fmt.Sprintf("&tag=t%05d", i)
		}
		a, err := w.do(request("PUT", w.addr, "/v2/"+repo+"/manifests/"+im.manifestDigest+"?"+q[1:], auth,
			map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, im.manifest), true)
		if err != nil {
			return err
		}
		if a.status != 201 {
			return fmt.Errorf("tag %d: %d %s", n, a.status, a.body)
		}
		if n%5000 == 0 { // tokens live for minutes
			if auth, err = b.ours.authorize(adminName, adminPassword, "repository:"+repo+":pull,push"); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%-42s %10.1fs\n", "50,000 tags made in", time.Since(began).Seconds())
	if auth, err = b.ours.authorize(adminName, adminPassword, "repository:"+repo+":pull"); err != nil {
		return err
	}
	rate := func(last string) (float64, error) {
		req := request("GET", w.addr, fmt.Sprintf("/v2/%s/tags/list?n=%d%s", repo, pageSize, last), auth, nil, nil)
		return hammer(b.ours.addr, 4, b.o.duration, func(int, int) []byte { return req })
	}
	var first, last []float64
	for range b.o.rounds {
		x, err := rate("")
		if err != nil {
			return err
		}
		y, err := rate(fmt.Sprintf("&last=t%05d", manyTags-pageSize-1))
		if err != nil {
			return err
		}
		first, last = append(first, x), append(last, y)
	}
	fmt.Printf("%-42s %10.0f/s %10.0f/s %8.2f\n", "tags list of 50,000: first page, last page", median(first), median(last), median(first)/median(last))
	return nil
}
