package opa_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// manyRules writes packs of rules that look at different things, as an author's
// folder would: 200 rules in 8 packs.
func manyRules() []opa.File {
	bodies := []string{
		`input.action == "manifest.pull"
	input.artifact.config.labels["label-%d"] == "forbidden"`,
		`input.action == "manifest.push"
	startswith(input.reference.value, "forbidden-%d")`,
		`input.action == "blob.pull"
	input.blob.size > 1000000000000 + %d`,
		`input.action == "tags.list"
	"suspended-%d" in input.subject.groups`,
		`input.action == "admin.api"
	input.admin.resource == "waiver"
	input.admin.after.rule == "rule-%d"`,
	}
	var files []opa.File
	for p := range 8 {
		var b strings.Builder
		fmt.Fprintf(&b, "package bondgate.rules.team%d\n", p)
		for r := range 25 {
			fmt.Fprintf(&b, "\n# METADATA\n# title: rule %d\n# custom:\n#   code: team%d.rule%d\n#   severity: low\ndeny contains {\"code\": \"team%d.rule%d\", \"msg\": \"no\"} if {\n\t"+
				bodies[r%len(bodies)]+"\n}\n", r, p, r, p, r, r)
		}
		files = append(files, opa.File{Path: fmt.Sprintf("team%d.rego", p), Data: []byte(b.String())})
	}
	return files
}

// benchFacts is a request about one of a thousand projects.
func benchFacts(ev policy.Evaluator, action policy.Action, i int) policy.Facts {
	project := fmt.Sprintf("project-%d", i%1000)
	own := []policy.Pack{{Name: "image", Mode: policy.ModeDeny, Config: []byte(`{"deny_root":true,"required_labels":["a","b"],"max_age_days":90}`)}}
	f := policy.Facts{
		Request: policy.Request{
			At: time.Unix(1790000000, 0), Action: action,
			Principal:  policy.Principal{ID: "alice", Issuer: policy.LocalIssuer, Kind: policy.KindUser, Auth: "token", Groups: []string{"devs", "ops"}},
			Repository: policy.Repository{Name: project + "/api"},
			HTTP:       policy.HTTP{Method: "GET", Path: "/v2/" + project + "/api/x", ClientIP: "10.0.0.1", UserAgent: "docker/29", Host: "reg"},
		},
		Subject:       policy.Subject{Roles: []string{"developer"}},
		Project:       policy.Project{Name: project, Labels: map[string]string{"tier": "prod"}},
		ProjectExists: true,
		Packs:         ev.Packs(own),
		Revision:      ev.Revision(),
	}
	switch action {
	case policy.BlobPull:
		f.Request.Blob = &policy.Blob{Digest: "sha256:aa", Size: 4096, Manifest: "sha256:bb"}
	case policy.AdminAPI:
		f.Subject.Roles = []string{"admin"}
		f.Request.Admin = &policy.AdminCall{Resource: "waiver", Verb: "create", After: policy.Waiver{ID: "W-1", Rule: "vuln.critical", Projects: []string{project}, Owner: "alice"}}
	case policy.ManifestPull:
		f.Request.Reference = policy.Reference{Kind: policy.ByTag, Value: "1.4.2", Current: "sha256:aa"}
		f.Request.Artifact = benchArtifact()
	}
	return f
}

func benchArtifact() *policy.Artifact {
	a := &policy.Artifact{
		Digest: "sha256:aa", MediaType: "application/vnd.oci.image.manifest.v1+json",
		Kind: policy.KindImage, Role: policy.RoleImage, Size: 7023, Tags: []string{"1.4.2", "stable"},
		ConfigBlob: &policy.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: "sha256:cc"},
		Config: &policy.ImageConfig{OS: "linux", Architecture: "amd64", User: "1000", Created: time.Unix(1789000000, 0),
			Labels: map[string]string{"a": "1", "b": "2"}, EnvNames: []string{"PATH", "HOME"}, ExposedPorts: []string{"8080/tcp"}},
		PushedAt: time.Unix(1789100000, 0), PushedBy: "ci",
	}
	for i := range 12 {
		a.Layers = append(a.Layers, policy.Descriptor{Digest: digest.Digest(fmt.Sprintf("sha256:l%d", i)), Size: 30123, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
	}
	return a.Seal()
}

// BenchmarkDecide measures decisions that no cache answers, with 200 rules of
// authors and projects that differ, and reports percentiles.
func BenchmarkDecide(b *testing.B) {
	ev := compileWith(b, manyRules()...)
	for _, action := range []policy.Action{policy.BlobPull, policy.TagsList, policy.AdminAPI, policy.ManifestPull} {
		b.Run(string(action), func(b *testing.B) {
			facts := make([]policy.Facts, 1000)
			for i := range facts {
				facts[i] = benchFacts(ev, action, i)
			}
			took := make([]time.Duration, 0, 1<<16)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				d, err := ev.Decide(b.Context(), facts[i%len(facts)])
				took = append(took, time.Since(start))
				if err != nil || !d.Allowed() {
					b.Fatal(d.Message, err)
				}
			}
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1000 }
			b.ReportMetric(at(0.50), "p50-us")
			b.ReportMetric(at(0.99), "p99-us")
		})
	}
}

// BenchmarkLogRules is what masks cost for each record, off the path of requests.
func BenchmarkLogRules(b *testing.B) {
	ev := compileWith(b, opa.File{Path: "log.rego", Data: []byte(`package system.log

mask contains "/input/subject/claims/email"

mask contains {"op": "upsert", "path": "/input/request/client_ip", "value": net} if {
	parts := split(input.input.request.client_ip, ".")
	net := concat(".", [parts[0], parts[1], parts[2], "0"])
}

drop if {
	input.result.allow
	input.input.action == "registry.ping"
}
`)})
	event := map[string]any{"input": policy.Document(benchFacts(ev, policy.ManifestPull, 1)), "result": map[string]any{"allow": true}}
	b.ReportAllocs()
	for b.Loop() {
		if r, err := ev.LogRules().About(b.Context(), event); err != nil || len(r.Masks) != 2 {
			b.Fatal(r, err)
		}
	}
}
