package replay_test

import (
	"flag"
	"fmt"
	"iter"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
	"github.com/bondgate/bondgate/policy/replay"
)

// mixed are the facts of a day at a registry, most of them allowed: pulls by tag,
// layers, lists, tokens, pushes, some of them by people who may not.
func mixed(i int) policy.Facts {
	repo, tag := fmt.Sprintf("p%d/app%d", i%50, i%7), fmt.Sprintf("1.%d", i%20)
	f := pull(repo, tag)
	f = by(f, fmt.Sprintf("u%d", i%300))
	f.Request.At = noon.Add(time.Duration(i/40) * time.Second)
	f.Request.Principal.Groups = []string{"devs", "ops"}
	f.Project.Labels = map[string]string{"tier": "prod"}
	f.Project.Packs = []policy.Pack{{Name: "image", Mode: policy.ModeDeny, Config: []byte(`{"deny_root":true,"required_labels":["a","b"],"max_age_days":9000}`)}}
	switch i % 10 {
	case 0, 1, 2:
		f.Request.Reference.Current = "sha256:aa"
		f.Request.Artifact = artifact(i)
	case 3, 4, 5, 6:
		f.Request.Action, f.Request.Reference = policy.BlobPull, policy.Reference{}
		f.Request.Blob = &policy.Blob{Digest: "sha256:aa", Size: 4096, Manifest: "sha256:bb"}
	case 7:
		f.Request.Action, f.Request.Reference = policy.TagsList, policy.Reference{}
	case 8:
		f.Request.Action, f.Request.Purpose, f.Request.Reference = policy.TokenIssue, policy.Token, policy.Reference{}
		f.Request.Repository = policy.Repository{}
		scope := policy.Scope{Type: "repository", Name: repo, Actions: []string{"pull", "push"}}
		f.Request.Token = &policy.TokenRequest{Service: "reg.acme", Requested: []policy.Scope{scope}, TTL: 5 * time.Minute}
		f.Scopes = []policy.ScopeFacts{{Scope: scope, Subject: f.Subject, Project: f.Project, ProjectExists: true}}
	default:
		f.Subject = policy.Subject{}
	}
	return f
}

func artifact(i int) *policy.Artifact {
	a := &policy.Artifact{
		Digest: "sha256:aa", MediaType: "application/vnd.oci.image.manifest.v1+json",
		Kind: policy.KindImage, Role: policy.RoleImage, Size: 7023, Tags: []string{fmt.Sprintf("1.%d", i%20), "stable"},
		ConfigBlob: &policy.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: "sha256:cc"},
		Config: &policy.ImageConfig{OS: "linux", Architecture: "amd64", User: "1000", Created: noon.AddDate(0, -1, 0),
			Labels: map[string]string{"a": "1", "b": "2"}, EnvNames: []string{"PATH", "HOME"}, ExposedPorts: []string{"8080/tcp"}},
		PushedAt: noon.AddDate(0, -1, 0), PushedBy: "ci",
	}
	for l := range 12 {
		a.Layers = append(a.Layers, policy.Descriptor{Digest: digest.FromString(fmt.Sprint(l)), Size: 30123, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
	}
	return a.Seal()
}

// repeated are n cases, made of some that are decided once: what a replay costs is
// the same for each of them.
func repeated(some []replay.Case, n int) iter.Seq2[replay.Case, error] {
	return func(yield func(replay.Case, error) bool) {
		for i := range n {
			if !yield(some[i%len(some)], nil) {
				return
			}
		}
	}
}

func someCases(b *testing.B, ev *opa.Evaluator) []replay.Case {
	b.Helper()
	cases := make([]replay.Case, 4000)
	for i := range cases {
		cases[i] = decided(b, ev, fmt.Sprintf("D%d", i), 3, mixed(i))
	}
	return cases
}

var replayed = flag.Int("replayed", 200_000, "how many decisions BenchmarkReplay replays")

// BenchmarkReplay puts recorded requests of mixed traffic before the bundle
// that decided them and before a stricter one, and reports decisions in a second and
// the heap at the end.
func BenchmarkReplay(b *testing.B) {
	same := compiled(b, nil)
	cases := someCases(b, same)
	stricter := map[string]string{}
	for p := range 8 {
		stricter[fmt.Sprintf("team%d.rego", p)] = rule(fmt.Sprintf("team%d", p), fmt.Sprintf("team%d.old", p), "too old",
			fmt.Sprintf(`input.reference.value == "1.%d"`, p))
	}
	for _, c := range []struct {
		name  string
		judge replay.Judge
	}{{"same", same}, {"stricter", compiled(b, stricter)}} {
		b.Run(c.name, func(b *testing.B) {
			n := *replayed
			before := processorTime(b)
			for b.Loop() {
				report, err := replay.Run(b.Context(), repeated(cases, n), c.judge, replay.Options{})
				if err != nil || report.Replayed.Decisions != int64(n) || report.Unequal.Decisions != 0 || report.Undecided.Decisions != 0 {
					b.Fatalf("%v %+v", err, report.Totals)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "decisions/s")
			// What a decision costs does not depend on who else uses the machine.
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N*n), "cpu-us/decision")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MiB")
		})
	}
	raw := 0
	for _, c := range cases {
		raw += len(c.Raw)
	}
	b.Logf("an input has %d bytes on average", raw/len(cases))
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
