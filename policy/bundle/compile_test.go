package bundle_test

import (
	"testing"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/opa"
)

func TestTheShippedBundleCompiles(t *testing.T) {
	ev, err := bundle.Compile(t.Context(), "", opa.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(ev.Revision(), ev.Reads(policy.BlobPull), ev.Packs(nil))
	d, err := ev.Decide(t.Context(), policy.Facts{
		Request: policy.Request{Action: policy.BlobPull, Repository: policy.Repository{Name: "a/b"},
			Principal: policy.Principal{ID: "alice", Kind: policy.KindUser},
			Blob:      &policy.Blob{Digest: "sha256:aa", Manifest: "sha256:bb"}},
		Subject: policy.Subject{Roles: []string{"guest"}}, ProjectExists: true,
		Project: policy.Project{Name: "a"}, Packs: ev.Packs(nil), Revision: ev.Revision(),
	})
	t.Logf("%+v %v", d, err)
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := bundle.Compile(b.Context(), "", opa.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
