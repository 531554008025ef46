package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	zipfUsers    = 200
	zipfProjects = 10
	zipfTags     = 100 // images a project: 1,000 in all
)

// zipf lets 200 people pull 1,000 images by Zipf while a membership changes
// every second, which ends every cached answer.
func (b *bench) zipf() error {
	if err := b.zipfLoad(); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	scopes := make([]string, zipfProjects)
	for p := range scopes {
		scopes[p] = fmt.Sprintf("repository:zipf%d/app:pull", p)
	}
	reqs := map[*target][][]byte{}
	for _, t := range append([]*target{b.ours}, b.strangers()...) {
		for u := range zipfUsers {
			auth, err := t.authorize(zipfUser(u), adminPassword, scopes...)
			if err != nil {
				return err
			}
			for p := range zipfProjects {
				for i := range zipfTags {
					reqs[t] = append(reqs[t], request("GET", t.addr, fmt.Sprintf("/v2/zipf%d/app/manifests/t%d", p, i), auth, acceptImage, nil))
				}
			}
			if t != b.ours {
				break // nobody is anybody there
			}
		}
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- b.churn(stop) }()
	hits0, misses0 := b.decisions()
	err := b.compare("manifest GET, 200 people, 1,000 images", "/s", b.strangers(), func(t *target) (float64, error) {
		const images = zipfProjects * zipfTags
		people := len(reqs[t]) / images
		draws := make([]func() int, b.o.conns)
		for c := range draws {
			rnd := rand.New(rand.NewPCG(uint64(c), 7))
			z := rand.NewZipf(rnd, 1.1, 1, images-1)
			draws[c] = func() int { return rnd.IntN(people)*images + int(z.Uint64()) }
		}
		return hammer(t.addr, b.o.conns, b.o.duration, func(c, _ int) []byte { return reqs[t][draws[c]()] })
	})
	close(stop)
	if churned := <-done; err == nil {
		err = churned
	}
	if err != nil {
		return err
	}
	hits1, misses1 := b.decisions()
	hits, misses := hits1-hits0, misses1-misses0
	fmt.Printf("%-42s %11.1f%%  (%.0f of %.0f decisions)\n", "of these from the decision cache", 100*hits/(hits+misses), hits, hits+misses)
	return nil
}

func zipfUser(n int) string { return fmt.Sprintf("user%03d", n) }

// zipfLoad makes people, projects and images.
func (b *bench) zipfLoad() error {
	for u := range zipfUsers {
		if err := b.api("POST", "/users", map[string]any{"name": zipfUser(u), "password": adminPassword}); err != nil {
			return err
		}
	}
	im := newImage(1 << 10)
	for _, t := range append([]*target{b.ours}, b.strangers()...) {
		w, err := dial(t.addr)
		if err != nil {
			return err
		}
		defer w.close()
		for p := range zipfProjects {
			repo := fmt.Sprintf("zipf%d/app", p)
			auth, err := t.authorize(adminName, adminPassword, "repository:"+repo+":pull,push")
			if err != nil {
				return err
			}
			for i := range zipfTags {
				if err := im.vary(uint64(p*1000+i)).push(w, repo, fmt.Sprintf("t%d", i), auth); err != nil {
					return err
				}
			}
		}
	}
	for u := range zipfUsers {
		for p := range zipfProjects {
			if err := b.member("PUT", p, u, "developer"); err != nil {
				return err
			}
		}
	}
	return nil
}

// churn changes a membership every second until stop.
func (b *bench) churn(stop chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Second):
		}
		role := []string{"guest", "developer"}[n%2]
		if err := b.member("PUT", n%zipfProjects, n%zipfUsers, role); err != nil {
			return err
		}
	}
}

func (b *bench) member(method string, project, user int, role string) error {
	return b.api(method, fmt.Sprintf("/projects/zipf%d/members/user/%s", project, zipfUser(user)), map[string]any{"role": role})
}

func (b *bench) api(method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+b.ours.addr+"/api/v1"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.SetBasicAuth(adminName, adminPassword)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return nil
}

// decisions are the cache's hits and misses so far.
func (b *bench) decisions() (hits, misses float64) {
	hits, _ = b.ours.metric("bondgate_decisions_total", `cached="true"`)
	misses, _ = b.ours.metric("bondgate_decisions_total", `cached="false"`)
	return hits, misses
}
