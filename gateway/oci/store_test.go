package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// store is an engine and an index in memory, as simple as can be. The real ones
// have tests of their own, and meet the protocol end to end.
type store struct {
	mu        sync.Mutex
	content   map[digest.Digest][]byte
	links     map[string]bool // repository + digest
	manifests map[string]bool
	uploads   map[string][]byte
	tagLinks  map[string]digest.Digest
	artifacts map[string]*policy.Artifact
	order     []string
	blobs     map[string]digest.Digest // by canonical and alias
	aliases   map[string]digest.Digest
	tags      map[string]digest.Digest
	repos     map[string]bool
	writes    int
	nextID    int
	removals  []policy.Removal
	// stuck is what storage answers to every removal; nil when it works.
	stuck error
	// beforePush runs in every Push, before it looks at the tags.
	beforePush func()
	// beforeAddBlob runs when storage has a blob and the index is to know of it.
	beforeAddBlob func()
}

func newStore() *store {
	return &store{
		content: map[digest.Digest][]byte{}, links: map[string]bool{}, manifests: map[string]bool{}, uploads: map[string][]byte{},
		tagLinks: map[string]digest.Digest{}, artifacts: map[string]*policy.Artifact{}, blobs: map[string]digest.Digest{},
		aliases: map[string]digest.Digest{}, tags: map[string]digest.Digest{}, repos: map[string]bool{},
	}
}

func at[S ~string](repo policy.Repository, name S) string { return repo.Name + "|" + string(name) }

type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }

func (s *store) lock() func() { s.mu.Lock(); return s.mu.Unlock }

func (s *store) StatBlob(_ context.Context, repo policy.Repository, d digest.Digest) (int64, error) {
	defer s.lock()()
	if !s.links[at(repo, d)] {
		return 0, policy.ErrNotFound
	}
	return int64(len(s.content[d])), nil
}

func (s *store) OpenBlob(ctx context.Context, repo policy.Repository, d digest.Digest) (io.ReadSeekCloser, int64, error) {
	size, err := s.StatBlob(ctx, repo, d)
	if err != nil {
		return nil, 0, err
	}
	defer s.lock()()
	return memFile{bytes.NewReader(s.content[d])}, size, nil
}

func (s *store) unlink(repo policy.Repository, d digest.Digest) error {
	defer s.lock()()
	s.writes++
	if s.stuck != nil {
		return s.stuck
	}
	if !s.links[at(repo, d)] {
		return policy.ErrNotFound
	}
	delete(s.links, at(repo, d))
	return nil
}

func (s *store) MountBlob(_ context.Context, from, to policy.Repository, d digest.Digest) (int64, error) {
	defer s.lock()()
	s.writes++
	if !s.links[at(from, d)] {
		return 0, policy.ErrNotFound
	}
	s.links[at(to, d)] = true
	return int64(len(s.content[d])), nil
}

func (s *store) StartUpload(_ context.Context, repo policy.Repository) (string, error) {
	defer s.lock()()
	s.writes++
	s.nextID++
	id := fmt.Sprintf("u%d", s.nextID)
	s.uploads[at(repo, id)] = []byte{}
	return id, nil
}

func (s *store) UploadSize(_ context.Context, repo policy.Repository, id string) (int64, error) {
	defer s.lock()()
	b, ok := s.uploads[at(repo, id)]
	if !ok {
		return 0, policy.ErrNotFound
	}
	return int64(len(b)), nil
}

func (s *store) AppendUpload(ctx context.Context, repo policy.Repository, id string, offset int64, r io.Reader) (int64, error) {
	size, err := s.UploadSize(ctx, repo, id)
	if err != nil {
		return 0, err
	}
	if offset >= 0 && offset != size {
		return size, policy.ErrRange
	}
	more, err := io.ReadAll(r)
	defer s.lock()()
	s.writes++
	s.uploads[at(repo, id)] = append(s.uploads[at(repo, id)], more...)
	return int64(len(s.uploads[at(repo, id)])), err
}

func (s *store) CommitUpload(_ context.Context, repo policy.Repository, id string, want digest.Digest) (digest.Digest, int64, error) {
	defer s.lock()()
	s.writes++
	b, ok := s.uploads[at(repo, id)]
	if !ok {
		return "", 0, policy.ErrNotFound
	}
	delete(s.uploads, at(repo, id))
	if want.Algorithm().FromBytes(b) != want {
		return "", 0, policy.ErrDigestMismatch
	}
	d := digest.FromBytes(b)
	s.content[d] = b
	s.links[at(repo, d)] = true
	return d, int64(len(b)), nil
}

func (s *store) CancelUpload(_ context.Context, repo policy.Repository, id string) error {
	defer s.lock()()
	s.writes++
	if _, ok := s.uploads[at(repo, id)]; !ok {
		return policy.ErrNotFound
	}
	delete(s.uploads, at(repo, id))
	return nil
}

func (s *store) PutManifest(_ context.Context, repo policy.Repository, d digest.Digest, _ string, body []byte) error {
	defer s.lock()()
	s.writes++
	s.content[d] = body
	s.manifests[at(repo, d)] = true
	return nil
}

func (s *store) Manifest(_ context.Context, repo policy.Repository, d digest.Digest) ([]byte, error) {
	defer s.lock()()
	if !s.manifests[at(repo, d)] {
		return nil, policy.ErrNotFound
	}
	return s.content[d], nil
}

func (s *store) Tag(_ context.Context, repo policy.Repository, tag string, d digest.Digest) error {
	defer s.lock()()
	s.writes++
	s.tagLinks[at(repo, tag)] = d
	return nil
}

func (s *store) Untag(_ context.Context, repo policy.Repository, tag string) error {
	defer s.lock()()
	s.writes++
	if s.stuck == nil {
		delete(s.tagLinks, at(repo, tag))
	}
	return s.stuck
}

// engine and index are the two sides of the store: both can delete.
type engine struct{ *store }

func (e engine) DeleteBlob(_ context.Context, repo policy.Repository, d digest.Digest) error {
	return e.unlink(repo, d)
}

func (e engine) DeleteManifest(_ context.Context, repo policy.Repository, d digest.Digest) error {
	defer e.lock()()
	e.writes++
	if e.stuck == nil {
		delete(e.manifests, at(repo, d))
	}
	return e.stuck
}

type index struct{ *store }

func (x index) ResolveTag(_ context.Context, repo policy.Repository, tag string) (digest.Digest, error) {
	defer x.lock()()
	d, ok := x.tags[at(repo, tag)]
	if !ok {
		return "", policy.ErrNotFound
	}
	return d, nil
}

func (x index) list(in []string, after string, limit int) []string {
	slices.Sort(in)
	in = slices.Compact(in)
	i, found := slices.BinarySearch(in, after)
	if found {
		i++
	}
	in = in[i:]
	return in[:min(limit, len(in))]
}

func (x index) Tags(_ context.Context, repo policy.Repository, after string, limit int) ([]string, error) {
	defer x.lock()()
	var out []string
	for key := range x.tags {
		if name, tag, _ := cut(key); name == repo.Name {
			out = append(out, tag)
		}
	}
	return x.list(out, after, limit), nil
}

func cut(key string) (string, string, bool) {
	i := bytes.IndexByte([]byte(key), '|')
	return key[:i], key[i+1:], true
}

func (x index) Repositories(_ context.Context, _, after string, limit int) ([]string, error) {
	defer x.lock()()
	var out []string
	for name := range x.repos {
		out = append(out, name)
	}
	return x.list(out, after, limit), nil
}

func (x index) RepositoryExists(_ context.Context, repo policy.Repository) (bool, error) {
	defer x.lock()()
	return x.repos[repo.Name], nil
}

func (x index) canonical(repo policy.Repository, d digest.Digest) digest.Digest {
	if c, ok := x.aliases[at(repo, d)]; ok {
		return c
	}
	return d
}

func (x index) Artifact(_ context.Context, repo policy.Repository, d digest.Digest) (*policy.Artifact, error) {
	defer x.lock()()
	a, ok := x.artifacts[at(repo, x.canonical(repo, d))]
	if !ok {
		return nil, policy.ErrNotFound
	}
	out := *a
	for key, d := range x.tags {
		if name, tag, _ := cut(key); name == repo.Name && d == a.Digest {
			out.Tags = append(out.Tags, tag)
		}
	}
	return out.Seal(), nil
}

func (x index) Referrers(_ context.Context, repo policy.Repository, subject digest.Digest) ([]policy.Descriptor, error) {
	defer x.lock()()
	var out []policy.Descriptor
	for _, key := range x.order {
		a, ok := x.artifacts[key]
		if name, _, _ := cut(key); ok && name == repo.Name && a.Subject != nil && a.Subject.Digest == subject {
			out = append(out, describe(a))
		}
	}
	return out, nil
}

func (x index) Parents(_ context.Context, repo policy.Repository, child digest.Digest) ([]digest.Digest, error) {
	defer x.lock()()
	var out []digest.Digest
	for _, key := range x.order {
		a, ok := x.artifacts[key]
		if name, _, _ := cut(key); ok && name == repo.Name && slices.ContainsFunc(a.Manifests, func(c policy.Child) bool { return c.Digest == child }) {
			out = append(out, a.Digest)
		}
	}
	return out, nil
}

func (x index) BlobManifests(_ context.Context, repo policy.Repository, blob digest.Digest, limit int) ([]digest.Digest, error) {
	defer x.lock()()
	var out []digest.Digest
	for _, key := range slices.Backward(x.order) {
		a, ok := x.artifacts[key]
		if name, _, _ := cut(key); ok && name == repo.Name && names(a, blob) && len(out) < limit {
			out = append(out, a.Digest)
		}
	}
	return out, nil
}

func (x index) Blob(_ context.Context, repo policy.Repository, d digest.Digest) (digest.Digest, int64, error) {
	defer x.lock()()
	c, ok := x.blobs[at(repo, d)]
	if !ok {
		return "", 0, policy.ErrNotFound
	}
	return c, int64(len(x.content[c])), nil
}

func (x index) AddBlob(_ context.Context, repo policy.Repository, canonical, alias digest.Digest, _ int64) error {
	if x.beforeAddBlob != nil {
		x.beforeAddBlob()
	}
	defer x.lock()()
	x.writes++
	x.blobs[at(repo, canonical)] = canonical
	if alias != "" {
		x.blobs[at(repo, alias)] = canonical
	}
	return nil
}

func (x index) DeleteBlob(_ context.Context, repo policy.Repository, d digest.Digest) error {
	defer x.lock()()
	x.writes++
	delete(x.blobs, at(repo, d))
	x.remove(repo, policy.RemovedBlob, string(d))
	return nil
}

func (x index) Push(_ context.Context, a *policy.Artifact, moves []policy.TagMove) error {
	if x.beforePush != nil {
		x.beforePush()
	}
	defer x.lock()()
	x.writes++
	for _, m := range moves {
		if x.tags[at(a.Repository, m.Tag)] != m.From {
			return policy.ErrConflict
		}
	}
	for _, m := range moves {
		x.tags[at(a.Repository, m.Tag)] = a.Digest
	}
	x.repos[a.Repository.Name] = true
	for _, alias := range a.Aliases {
		x.aliases[at(a.Repository, alias)] = a.Digest
	}
	key := at(a.Repository, a.Digest)
	if x.artifacts[key] == nil {
		x.order = append(x.order, key)
	}
	kept := *a
	kept.Tags = nil
	x.artifacts[key] = &kept
	return nil
}

func (x index) DeleteTag(_ context.Context, repo policy.Repository, tag string, from digest.Digest) error {
	defer x.lock()()
	x.writes++
	if x.tags[at(repo, tag)] != from {
		return policy.ErrConflict
	}
	delete(x.tags, at(repo, tag))
	x.remove(repo, policy.RemovedTag, tag)
	return nil
}

func (x index) DeleteManifest(_ context.Context, repo policy.Repository, d digest.Digest, judged []string) ([]string, error) {
	defer x.lock()()
	x.writes++
	for key, have := range x.tags {
		if name, tag, _ := cut(key); name == repo.Name && have == d && !slices.Contains(judged, tag) {
			return nil, policy.ErrConflict
		}
	}
	delete(x.artifacts, at(repo, d))
	x.remove(repo, policy.RemovedManifest, string(d))
	var out []string
	for key, have := range x.tags {
		if name, tag, _ := cut(key); name == repo.Name && have == d {
			out = append(out, tag)
			delete(x.tags, key)
			x.remove(repo, policy.RemovedTag, tag)
		}
	}
	return out, nil
}

var (
	_ Engine = engine{}
	_ Index  = index{}
)

// countWrites is how often fn made the store change.
func (s *store) countWrites(t *testing.T, fn func()) int {
	t.Helper()
	before := s.writes
	fn()
	return s.writes - before
}
