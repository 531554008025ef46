package kill_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// finding is a promise that was broken, and of which sort.
type finding struct {
	sort string // lost, resurrected, half
	error
}

func found(sort, format string, args ...any) error {
	return finding{sort, fmt.Errorf(format, args...)}
}

// see looks for what a reindex may have brought: pushes that were never
// acknowledged and never tried again.
func (r *repository) see(c *client) error {
	for _, item := range r.content {
		if !item.stray {
			continue
		}
		body, there, err := c.patient(item.path(r.name))
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		if !bytes.Equal(body, item.body) {
			return found("half", "%s holds %d other bytes", item.path(r.name), len(body))
		}
		for _, blob := range r.named(item) {
			if body, there, err := c.patient(blob.path(r.name)); err != nil || !there || !bytes.Equal(body, blob.body) {
				return found("half", "%s came back without its blob %s: %v", item.path(r.name), blob.digest, err)
			}
		}
		item.there, item.stray = true, false
	}
	return nil
}

// served holds what a client gets against what it was promised: the contents
// that were touched, or all of them, bit for bit, and all names.
func (r *repository) served(c *client, all bool) error {
	check := r.touched
	if all {
		check = map[string]bool{}
		for d := range r.content {
			check[d] = true
		}
	}
	seen := map[*content]bool{}
	for d := range check {
		item := r.content[d]
		if err := r.serves(c, item, seen); err != nil {
			return err
		}
		if item.there && item.manifest() {
			for _, blob := range r.named(item) {
				if err := r.serves(c, blob, seen); err != nil {
					return err
				}
			}
			if err := r.refers(c, item); err != nil {
				return err
			}
		}
	}
	return r.lists(c, all)
}

// serves looks at one content, once.
func (r *repository) serves(c *client, item *content, seen map[*content]bool) error {
	if seen[item] {
		return nil
	}
	seen[item] = true
	body, there, err := c.patient(item.path(r.name))
	switch {
	case err != nil:
		return err
	case there && !item.there && !item.stray:
		return found("resurrected", "%s was deleted", item.path(r.name))
	case !there && item.there:
		return found("lost", "%s was acknowledged", item.path(r.name))
	case there && !bytes.Equal(body, item.body):
		return found("lost", "%s holds %d other bytes", item.path(r.name), len(body))
	}
	return nil
}

// refers compares the referrers of a manifest with the acknowledged ones.
func (r *repository) refers(c *client, subject *content) error {
	body, there, err := c.patient("/v2/" + r.name + "/referrers/" + subject.digest)
	if err != nil || !there {
		return fmt.Errorf("referrers of %s: found %v: %w", subject.digest, there, err)
	}
	var list struct {
		Manifests []struct{ Digest string }
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, m := range list.Manifests {
		listed[m.Digest] = true
		if item := r.content[m.Digest]; item == nil || item.subject != subject.digest || !item.there && !item.stray {
			return found("resurrected", "%s is listed as a referrer of %s", m.Digest, subject.digest)
		}
	}
	for _, item := range r.content {
		if item.subject == subject.digest && item.there && !listed[item.digest] {
			return found("lost", "%s is not listed as a referrer of %s", item.digest, subject.digest)
		}
	}
	return nil
}

// lists compares the names of all tags, and where those are that were touched.
func (r *repository) lists(c *client, all bool) error {
	body, there, err := c.patient("/v2/" + r.name + "/tags/list?n=10000")
	if err != nil {
		return err
	}
	var list struct{ Tags []string }
	if there {
		if err := json.Unmarshal(body, &list); err != nil {
			return err
		}
	}
	if err := r.sameNames(list.Tags); err != nil {
		return err
	}
	for tag, to := range r.tags {
		if !all && !r.touched[to] {
			continue
		}
		body, there, err := c.patient(manifestPath(r.name, tag))
		if err != nil {
			return err
		}
		if !there || digestOf(body) != to {
			return found("lost", "%s:%s is %s, not %s (found: %v)", r.name, tag, digestOf(body), to, there)
		}
	}
	return nil
}

func (r *repository) sameNames(tags []string) error {
	for _, tag := range tags {
		if _, ok := r.tags[tag]; !ok {
			return found("resurrected", "%s:%s was deleted, or never was", r.name, tag)
		}
	}
	for tag := range r.tags {
		if !slices.Contains(tags, tag) {
			return found("lost", "%s:%s was acknowledged", r.name, tag)
		}
	}
	return nil
}

// hidden wants nobody to see into the repository without saying who they are.
func (r *repository) hidden(c *client) error {
	a, err := c.ask(http.MethodGet, "/v2/"+r.name+"/tags/list", nil, nil, true)
	if err == nil && a.status != http.StatusUnauthorized {
		err = fmt.Errorf("the tags of %s are shown to nobody in particular: %d", r.name, a.status)
	}
	return err
}
