package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// How large the world is.
const (
	projects    = 10
	images      = 30 // that are pulled, in each project
	kept        = 20 // of those that are pushed meanwhile, in each project
	guests      = 30
	maintainers = 8
	password    = "a-password-of-somebody"
	// tokenAge is when a token is asked for again; they are good for five minutes.
	tokenAge = 2 * time.Minute
	// layerSize is that of nearly all images, largeSize that of one in each project.
	layerSize = 20 << 10
	largeSize = 4 << 20
)

// person is somebody with a password and the newest token for it.
type person struct {
	name   string
	scopes []string
	token  atomic.Pointer[bearer]
}

type bearer struct {
	header string
	since  time.Time
}

// sign asks for a new token.
func (p *person) sign(ctx context.Context, c *client) error {
	header, err := c.token(ctx, p.name, password, p.scopes)
	if err == nil {
		p.token.Store(&bearer{header, time.Now()})
	}
	return err
}

// auth is the header of a token that is good.
func (p *person) auth(ctx context.Context, c *client) (string, error) {
	b := p.token.Load()
	if b == nil || time.Since(b.since) > tokenAge {
		if err := p.sign(ctx, c); err != nil {
			return "", err
		}
		b = p.token.Load()
	}
	return b.header, nil
}

// world is what the load meets: people, projects and images.
type world struct {
	c                   *client
	guests, maintainers []*person
	visitor, stranger   *person
	images              []*image // all of one project after the other
	large               []*image
	pushed              [projects]ring
	serial              atomic.Int64
	zipf                func(*rand.Rand) int
}

func stable(project int) string { return fmt.Sprintf("p%d/app", project) }
func moving(project int) string { return fmt.Sprintf("p%d/build", project) }

// build makes the world on a fresh server.
func build(ctx context.Context, c *client) (*world, error) {
	w := &world{c: c, zipf: zipf(projects * images)}
	for p := range projects {
		if err := c.api(ctx, http.MethodPost, "/projects", map[string]any{"name": fmt.Sprintf("p%d", p)}); err != nil {
			return nil, err
		}
	}
	var err error
	for i := range guests {
		if w.guests, err = w.person(ctx, w.guests, fmt.Sprintf("guest%d", i), "guest", "pull"); err != nil {
			return nil, err
		}
	}
	for i := range maintainers {
		if w.maintainers, err = w.person(ctx, w.maintainers, fmt.Sprintf("maintainer%d", i), "maintainer", "pull,push,delete"); err != nil {
			return nil, err
		}
	}
	others, err := w.person(ctx, nil, "visitor", "guest", "pull")
	if err != nil {
		return nil, err
	}
	if others, err = w.person(ctx, others, "stranger", "", "pull"); err != nil {
		return nil, err
	}
	w.visitor, w.stranger = others[0], others[1]
	return w, w.fill(ctx)
}

// person adds somebody who has a role, if any, in every project.
func (w *world) person(ctx context.Context, to []*person, name, role, actions string) ([]*person, error) {
	if err := w.c.api(ctx, http.MethodPost, "/users", map[string]any{"name": name, "password": password}); err != nil {
		return nil, err
	}
	p := &person{name: name}
	for i := range projects {
		if role != "" {
			if err := w.c.api(ctx, http.MethodPut, fmt.Sprintf("/projects/p%d/members/user/%s", i, name), map[string]any{"role": role}); err != nil {
				return nil, err
			}
		}
		p.scopes = append(p.scopes, "repository:"+stable(i)+":"+actions, "repository:"+moving(i)+":"+actions)
	}
	return append(to, p), p.sign(ctx, w.c)
}

// fill pushes the images that are pulled.
func (w *world) fill(ctx context.Context) error {
	auth, err := w.maintainers[0].auth(ctx, w.c)
	if err != nil {
		return err
	}
	for p := range projects {
		for i := range images {
			im := newImage(layerSize, "1000")
			w.images = append(w.images, im)
			if err := im.push(ctx, w.c, auth, stable(p), fmt.Sprintf("t%d", i)); err != nil {
				return err
			}
		}
		subject := w.images[p*images]
		for n := range 2 {
			if err := newImage(100, "1000").referTo(subject).push(ctx, w.c, auth, stable(p), fmt.Sprintf("ref%d", n)); err != nil {
				return err
			}
		}
		large := newImage(largeSize, "1000")
		w.large = append(w.large, large)
		if err := large.push(ctx, w.c, auth, stable(p), "large"); err != nil {
			return err
		}
		if err := newImage(100, "root").push(ctx, w.c, auth, stable(p), "root"); err != nil {
			return err
		}
	}
	return nil
}

// zipf answers draws of 0 to n-1 in which few come often.
func zipf(n int) func(*rand.Rand) int {
	return func(r *rand.Rand) int {
		return int(rand.NewZipf(r, 1.1, 1, uint64(n-1)).Uint64())
	}
}
