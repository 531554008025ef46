package kill_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

// content is a blob or a manifest, and what the client believes of it.
type content struct {
	digest, mediaType string
	body              []byte
	// there is what was acknowledged last, or was seen when the server was back.
	there bool
	// stray says that a push of it was never acknowledged and never tried again:
	// storage may hold it, and a reindex may bring it.
	stray bool

	// What a manifest names: blobs, children and a subject, by digest.
	blobs, children []string
	subject         string
}

func (c *content) manifest() bool { return c.mediaType != "" }

func (c *content) path(repo string) string {
	if c.manifest() {
		return manifestPath(repo, c.digest)
	}
	return blobPath(repo, c.digest)
}

// repository is all that one client was promised of one repository. Nobody else
// writes to it.
type repository struct {
	name    string
	content map[string]*content
	tags    map[string]string // where each is; a tag that was deleted is not in it
	// touched is what changed since it was last checked.
	touched map[string]bool
}

func newRepository(name string) *repository {
	return &repository{name: name, content: map[string]*content{}, tags: map[string]string{}, touched: map[string]bool{}}
}

func (r *repository) know(c *content) *content {
	if known := r.content[c.digest]; known != nil {
		return known
	}
	r.content[c.digest] = c
	return c
}

// pick answers the contents that are there and satisfy want, in a fixed order, so
// that a seed repeats a run as far as time allows.
func (r *repository) pick(want func(*content) bool) []*content {
	var out []*content
	for _, d := range slices.Sorted(maps.Keys(r.content)) {
		if c := r.content[d]; c.there && want(c) {
			out = append(out, c)
		}
	}
	return out
}

// namers are the manifests that are there, or may be, and name the digest.
func (r *repository) namers(digest string) (out []*content) {
	for _, c := range r.content {
		if (c.there || c.stray) && (slices.Contains(c.blobs, digest) || slices.Contains(c.children, digest)) {
			out = append(out, c)
		}
	}
	return out
}

// change is what one acknowledged request does to a repository.
type change struct {
	repo *repository
	// item comes (or goes); nil when the request is about tags alone.
	item  *content
	comes bool
	// tags are where they are afterwards, "" for nowhere.
	tags map[string]string
}

func (c *change) apply() {
	if c.item != nil {
		c.item.there, c.item.stray = c.comes, false
		c.repo.touched[c.item.digest] = true
	}
	for tag, to := range c.tags {
		c.repo.set(tag, to)
	}
}

func (r *repository) set(tag, to string) {
	if to == "" {
		delete(r.tags, tag)
		return
	}
	r.tags[tag] = to
	r.touched[to] = true
}

// settle looks at what the server has of a change that nobody acknowledged, and
// believes that from now on. Unless each part may differ (when the database was
// lost) the change has to be whole or absent.
func (c *change) settle(from *client, partly bool) (whole bool, err error) {
	var before, after []string
	if c.item != nil {
		body, found, err := from.patient(c.item.path(c.repo.name))
		switch {
		case err != nil:
			return false, err
		case found && !bytes.Equal(body, c.item.body):
			return false, fmt.Errorf("%s holds %d other bytes", c.item.path(c.repo.name), len(body))
		}
		if c.item.there != c.comes {
			if found == c.comes {
				after = append(after, c.item.digest)
			} else {
				before = append(before, c.item.digest)
			}
		}
		c.item.there = found
		c.item.stray = !found && c.comes
		c.repo.touched[c.item.digest] = true
	}
	for tag, to := range c.tags {
		was := c.repo.tags[tag]
		body, found, err := from.patient(manifestPath(c.repo.name, tag))
		if err != nil {
			return false, err
		}
		is := ""
		if found {
			is = digestOf(body)
		}
		switch {
		case is != was && is != to:
			return false, fmt.Errorf("%s:%s is %q, was %q and was to be %q", c.repo.name, tag, is, was, to)
		case was == to:
		case is == to:
			after = append(after, tag)
		default:
			before = append(before, tag)
		}
		c.repo.set(tag, is)
	}
	if len(before) > 0 && len(after) > 0 && !partly {
		return false, fmt.Errorf("half done in %s: %v are as before, %v are as they were to be", c.repo.name, before, after)
	}
	return len(before) == 0, nil
}
