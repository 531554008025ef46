package metadata

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// exercise runs everything that both databases must do alike. Each part has a
// database of its own; opening it again is another replica.
func exercise(t *testing.T, database func(t *testing.T) (open func() *Store)) {
	for name, part := range map[string]func(t *testing.T, open func() *Store){
		"a push is read back whole": pushIsReadBack,
	} {
		t.Run(name, func(t *testing.T) { part(t, database(t)) })
	}
}

var repo = policy.Repository{Workspace: "default", Name: "payments/api"}

func dig(name string) digest.Digest { return digest.FromString(name) }

// image makes an artifact of two layers, one of them shared by all.
func image(name string) *policy.Artifact {
	return &policy.Artifact{
		Repository: repo, Digest: dig(name), MediaType: "application/vnd.oci.image.manifest.v1+json",
		Kind: policy.KindImage, Role: policy.RoleImage, Size: 500,
		ConfigBlob: &policy.Descriptor{Digest: dig(name + " config"), Size: 10, MediaType: "application/vnd.oci.image.config.v1+json"},
		Config:     &policy.ImageConfig{OS: "linux", User: "root", Labels: map[string]string{"a": "b"}},
		Layers: []policy.Descriptor{
			{Digest: dig("base"), Size: 100, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"},
			{Digest: dig(name + " layer"), Size: 100, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"},
		},
		PushedAt: time.UnixMicro(1_700_000_000_000_001).UTC(), PushedBy: "alice",
	}
}

func pushIsReadBack(t *testing.T, open func() *Store) {
	s := open()
	ctx := t.Context()
	a := image("one")
	a.Aliases = []digest.Digest{digest.SHA512.FromString("one")}
	must(t, s.Push(ctx, a, []policy.TagMove{{Tag: "v1"}, {Tag: "latest"}}))
	for _, d := range []digest.Digest{a.Digest, a.Aliases[0]} {
		got, err := s.Artifact(ctx, repo, d)
		must(t, err)
		same(t, fmt.Sprint(got.Digest, got.Tags, got.PushedBy, got.PushedAt.Equal(a.PushedAt), got.Repository, got.Aliases, got.Config.User),
			fmt.Sprint(a.Digest, []string{"latest", "v1"}, "alice", true, repo, a.Aliases, "root"))
	}
	d, err := s.ResolveTag(ctx, repo, "v1")
	must(t, err)
	same(t, d, a.Digest)
	_, err = s.ResolveTag(ctx, repo, "v2")
	is(t, err, policy.ErrNotFound)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func same[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}
