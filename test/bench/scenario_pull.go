package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const pullRepo = "bench/pull"

// acceptImage is the header without which distribution denies having an OCI image.
var acceptImage = map[string]string{"Accept": "application/vnd.oci.image.manifest.v1+json"}

// load pushes the images that pulls ask for.
func (b *bench) load(t *target) error {
	auth, err := t.authorize(adminName, adminPassword, "repository:"+pullRepo+":pull,push")
	if err != nil {
		return err
	}
	w, err := dial(t.addr)
	if err != nil {
		return err
	}
	defer w.close()
	if err := b.small.push(w, pullRepo, "small", auth); err != nil {
		return err
	}
	return b.large.push(w, pullRepo, "large", auth)
}

// lay puts the layers where a server of files finds them under a registry's path.
func (b *bench) lay(t *target) error {
	folder := filepath.Join(t.files, "v2", pullRepo, "blobs")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, im := range []*image{b.small, b.large} {
		if err := os.WriteFile(filepath.Join(folder, im.layerD), im.layer, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) pulls() error {
	for _, t := range b.all() {
		if err := b.load(t); err != nil {
			return fmt.Errorf("load %s: %w", t.name, err)
		}
	}
	for _, t := range b.others {
		if t.files == "" {
			continue
		}
		if err := b.lay(t); err != nil {
			return fmt.Errorf("load %s: %w", t.name, err)
		}
	}
	for _, s := range []struct {
		only, name, path string
		conns            int
		unit             string
		scale            float64
		others           []*target
	}{
		{"manifest", "manifest GET by tag", "/manifests/small", b.o.conns, "/s", 1, b.registries()},
		{"small", "20 KB blob GET", "/blobs/" + b.small.layerD, b.o.conns, "/s", 1, b.others},
		{"large", "100 MB blob GET, 4 connections", "/blobs/" + b.large.layerD, 4, "MB", 100, b.others},
	} {
		if !b.wanted("pull", s.only) {
			continue
		}
		err := b.compare(s.name, s.unit, s.others, func(t *target) (float64, error) {
			auth, err := t.authorize(adminName, adminPassword, "repository:"+pullRepo+":pull")
			if err != nil {
				return 0, err
			}
			req := request("GET", t.addr, "/v2/"+pullRepo+s.path, auth, acceptImage, nil)
			rate, err := hammer(t.addr, s.conns, b.o.duration, func(int, int) []byte { return req })
			return rate * s.scale, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pushing compares pushes of 1 MiB images by eight clients.
func (b *bench) pushing() error {
	var distinct, shared []float64
	for range b.o.rounds {
		x, err := pushes(b.ours, 8, b.o.duration, func(c int) string { return fmt.Sprintf("bench/push-%d", c) })
		if err != nil {
			return err
		}
		y, err := pushes(b.ours, 8, b.o.duration, func(int) string { return "bench/shared" })
		if err != nil {
			return err
		}
		distinct, shared = append(distinct, x), append(shared, y)
	}
	err := b.compare("1 MiB image pushes, 8 repositories", "/s", b.registries(), func(t *target) (float64, error) {
		return pushes(t, 8, b.o.duration, func(c int) string { return fmt.Sprintf("bench/push-%d", c) })
	})
	fmt.Printf("%-42s %10.0f/s %23.2f of our own into eight\n", "1 MiB image pushes, 1 repository", median(shared), median(shared)/median(distinct))
	time.Sleep(time.Second)
	return err
}
