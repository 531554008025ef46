package main

import (
	"fmt"
	"time"
)

const (
	manyTags = 50_000
	pageSize = 100
	tagsEach = 40 // tags of one image; zot takes 46 in one request
)

const tagsRepo = "bench/tags"

// tags compares the first page of 50,000 tags with the last, and with zot's when
// it is there. distribution is left out: it lists the folders of all tags for every page.
func (b *bench) tags() error {
	var servers []*target
	for _, t := range b.all() {
		if t.name != "distribution" {
			servers = append(servers, t)
		}
	}
	for _, t := range servers {
		began := time.Now()
		if err := makeTags(t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%-42s %10.1fs\n", "50,000 tags made by "+t.name+" in", time.Since(began).Seconds())
	}
	lastPage := fmt.Sprintf("&last=t%05d", manyTags-pageSize-1)
	rates := map[string][]float64{}
	for range b.o.rounds {
		for _, t := range servers {
			for page, after := range map[string]string{"first": "", "last": lastPage} {
				x, err := b.listRate(t, after)
				if err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
				rates[t.name+page] = append(rates[t.name+page], x)
			}
		}
	}
	for _, t := range servers {
		first, last := median(rates[t.name+"first"]), median(rates[t.name+"last"])
		fmt.Printf("%-42s %10.0f/s %10.0f/s %8.2f", "tags of "+t.name+": first page, last page", first, last, first/last)
		if t != b.ours {
			fmt.Printf("  ours is %.2f and %.2f of it", median(rates["bondgatefirst"])/first, median(rates["bondgatelast"])/last)
		}
		fmt.Println()
	}
	return nil
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

// listRate asks for one page over and over.
func (b *bench) listRate(t *target, after string) (float64, error) {
	auth, err := t.authorize(adminName, adminPassword, "repository:"+tagsRepo+":pull")
	if err != nil {
		return 0, err
	}
	req := request("GET", t.addr, fmt.Sprintf("/v2/%s/tags/list?n=%d%s", tagsRepo, pageSize, after), auth, nil, nil)
	return hammer(t.addr, 4, b.o.duration, func(int, int) []byte { return req })
}
