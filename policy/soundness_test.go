package policy_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// A policy that answers with a hash of everything that it may read is the worst
// case for a cache: any part of the input that the key forgot shows.
func hashOf(reads []string) decideFunc {
	return func(_ context.Context, f policy.Facts) (policy.Decision, error) {
		doc := policy.Document(f)
		h := sha256.New()
		for _, path := range reads {
			raw, err := json.Marshal(valueAt(doc, strings.Split(path, ".")))
			if err != nil {
				return policy.Decision{}, err
			}
			fmt.Fprintf(h, "%s=%s\n", path, raw)
		}
		return policy.Decision{Verdict: policy.Allow, Message: fmt.Sprintf("%x", h.Sum(nil))}, nil
	}
}

func valueAt(doc any, path []string) any {
	for _, p := range path {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[p]
	}
	return doc
}

func TestACachedAnswerIsTheAnswer(t *testing.T) {
	everything := []string{
		"action", "purpose", "time", "request", "subject", "workspace", "project", "waivers", "repository", "reference", "breakglass",
		"artifact", "blob", "upload", "mount", "filter", "result", "token",
	}
	for name, reads := range map[string][]string{
		"all of the input":            everything,
		"what most rules read":        {"action", "purpose", "subject", "project", "repository", "artifact", "reference", "token", "mount", "filter", "result"},
		"one field of the transport":  {"subject.name", "request.client_ip"},
		"a manifest but not its blob": {"subject.roles", "blob.manifest"},
		"the grant of an emergency":   {"subject.name", "breakglass.grant", "breakglass.expires"},
		"the session of an upload":    {"upload.session", "upload.declared_size", "request.method"},
	} {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 1))
			cached, p := newGate(t, hashOf(reads), reads...)
			roles := map[string][]string{}
			pool := artifacts(rnd)
			hits := map[string]bool{}
			for i := range 4000 {
				switch rnd.IntN(100) {
				case 0:
					p.now = p.now.Add(time.Second)
				case 1:
					next := map[string][]string{}
					for k, v := range roles {
						next[k] = v
					}
					next[pick(rnd, "alice", "bob", "")] = []string{pick(rnd, "guest", "developer")}
					roles = next
					p.directory.set(roles)
				case 2:
					p.directory.breakGlass(policy.BreakGlass{
						ID: fmt.Sprint("bg-", i), Issuer: pick(rnd, "local", "sso"), Subject: pick(rnd, "alice", "bob"), Kind: policy.KindUser,
						Projects: []string{"a"}, State: policy.WaiverApproved, Expires: p.now.Add(time.Duration(rnd.IntN(4)) * time.Second),
					})
				}
				req := randomRequest(rnd, pool)
				// A gate that never saw a request cannot answer from its cache.
				fresh, q := newGate(t, hashOf(reads), reads...)
				q.now, q.directory.v = p.now, p.directory.v
				want, err := fresh.Admit(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := cached.Admit(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if got.Message != want.Message {
					t.Fatalf("request %d: the cache answered for another input: %+v", i, req)
				}
				hits[got.ID] = true
			}
			t.Logf("%d evaluations for 4000 requests", len(hits))
		})
	}
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

func artifacts(rnd *rand.Rand) []*policy.Artifact {
	out := []*policy.Artifact{nil}
	for i := range 6 {
		a := &policy.Artifact{
			Digest: digest.FromString(fmt.Sprint(i / 2)), Kind: policy.KindImage, Role: pick(rnd, policy.RoleImage, policy.RoleSBOM),
			Tags: []string{fmt.Sprint("v", i)}, PushedAt: at.Add(-time.Duration(rnd.IntN(9)) * time.Hour),
			Config: &policy.ImageConfig{User: pick(rnd, "", "1000")},
		}
		if i != 5 { // one that nobody sealed: it must never be shared
			a.Seal()
		}
		out = append(out, a)
	}
	return out
}

func randomRequest(rnd *rand.Rand, pool []*policy.Artifact) policy.Request {
	r := policy.Request{
		Principal: policy.Principal{
			ID: pick(rnd, "alice", "bob", ""), Issuer: pick(rnd, "local", "sso"), Kind: policy.KindUser, Auth: pick(rnd, "basic", "token"),
		},
		Action:     pick(rnd, policy.ManifestPull, policy.BlobPull, policy.BlobPush, policy.TagsList, policy.TokenIssue, policy.BlobMount, policy.ReferrersList),
		Purpose:    pick(rnd, policy.Use, policy.Inspect, ""),
		Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: pick(rnd, "a/b", "a/bc", "nowhere/x", "")},
		HTTP:       policy.HTTP{Method: pick(rnd, "GET", "HEAD"), ClientIP: pick(rnd, "10.0.0.1", "10.0.0.2"), UserAgent: pick(rnd, "docker", "crane"), Host: "reg", PeerSPIFFE: pick(rnd, "", "spiffe://acme/a", "spiffe://acme/b")},
		Artifact:   pick(rnd, pool...),
	}
	if rnd.IntN(3) == 0 {
		r.Principal.Groups = pick(rnd, []string{"a", "b"}, []string{"ab"}, []string{""})
	}
	if rnd.IntN(4) == 0 {
		r.Principal.Claims = map[string]any{"amr": pick(rnd, "mfa", "pwd")}
	}
	if rnd.IntN(2) == 0 {
		r.Reference = policy.Reference{Kind: policy.ByTag, Value: pick(rnd, "1", "2"), Current: pick(rnd, "", digest.FromString("0"))}
	}
	switch r.Action {
	case policy.BlobPull:
		r.Blob = &policy.Blob{Digest: digest.FromString(pick(rnd, "x", "y")), Size: int64(rnd.IntN(2)), Manifest: pick(rnd, "", digest.FromString("m"))}
	case policy.BlobPush:
		r.Upload = &policy.Upload{Session: pick(rnd, "", "u1", "u2"), DeclaredSize: int64(rnd.IntN(3) - 1), Digest: pick(rnd, "", digest.FromString("x"))}
	case policy.TokenIssue:
		r.Token = &policy.TokenRequest{Service: "reg", TTL: time.Minute, Offline: rnd.IntN(2) == 0, Requested: []policy.Scope{
			{Type: "repository", Name: pick(rnd, "a/b", "c/d"), Actions: pick(rnd, []string{"pull"}, []string{"pull", "push"})},
		}}
	case policy.BlobMount:
		r.Mount = &policy.Mount{From: policy.Repository{Name: pick(rnd, "c/d", "e/f")}, SubjectCanPullFrom: rnd.IntN(2) == 0}
	case policy.ReferrersList:
		r.Referrers = &policy.ReferrersQuery{ArtifactType: pick(rnd, "", "t"), Count: rnd.IntN(2)}
	}
	return r
}

// Every value that Document shows differs between two requests only if the key does.
func FuzzKeyIsUnambiguous(f *testing.F) {
	f.Add("a", "b", "c", "d")
	f.Add("", "ab", "\x01b", "")
	f.Fuzz(func(t *testing.T, id, group, repo, ref string) {
		one := policy.Request{
			At: at, Action: policy.TagsList, Principal: policy.Principal{ID: id, Groups: []string{group}},
			Repository: policy.Repository{Name: repo}, Reference: policy.Reference{Kind: policy.ByTag, Value: ref},
		}
		two := one
		two.Principal.Groups = nil
		two.Principal.ID = id + group
		g, _ := newGate(t, hashOf([]string{"subject", "repository", "reference"}), "subject", "repository", "reference")
		a, err := g.Admit(t.Context(), one)
		if err != nil {
			t.Skip()
		}
		b, err := g.Admit(t.Context(), two)
		if err != nil {
			t.Skip()
		}
		if a.Message == b.Message {
			t.Fatal("two inputs shared an answer")
		}
	})
}

func BenchmarkCachedDecision(b *testing.B) {
	g, _ := newGate(b, allows, "subject", "project", "artifact")
	req := pull("alice")
	req.At = at
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Admit(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
