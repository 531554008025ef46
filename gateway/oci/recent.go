package oci

import (
	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// remembered is how many manifests are remembered per principal and repository:
// an index, its children for a few platforms, and the pull before.
const remembered = 6

// recent knows what each principal pulled last from each repository, so that the
// first guess at which manifest a layer is pulled for is mostly right. It is a
// hint: a wrong one costs a decision, never gives one.
type recent struct{ lru *lru[recentKey, recentSet] }

type recentKey struct {
	issuer, id string
	repo       policy.Repository
}

type recentSet [remembered]digest.Digest

func newRecent(entries int64) *recent { return &recent{newLRU[recentKey, recentSet](entries)} }

func keyOf(who policy.Principal, repo policy.Repository) recentKey {
	return recentKey{who.Issuer, who.ID, repo}
}

// note remembers a manifest as the last that was pulled.
func (r *recent) note(who policy.Principal, repo policy.Repository, d digest.Digest) {
	key := keyOf(who, repo)
	set, _ := r.lru.get(key)
	if set[0] == d {
		return
	}
	var next recentSet
	next[0] = d
	n := 1
	for _, old := range set {
		if old != d && old != "" && n < remembered {
			next[n] = old
			n++
		}
	}
	r.lru.put(key, next, 1)
}

// pulled is what was pulled, last first; empty digests at the end.
func (r *recent) pulled(who policy.Principal, repo policy.Repository) recentSet {
	set, _ := r.lru.get(keyOf(who, repo))
	return set
}
