// Command recorded fills the decision log of a data folder with as many requests of
// mixed traffic as asked for: decided by the real gate with the shipped rules, and
// recorded as the server does, but for people and projects that are made up. A server
// started on the folder has a past to read, to search and to replay.
//
// It refuses a folder that holds a log already. Nobody imports it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/policy/opa"
)

func main() {
	dir := flag.String("data-dir", "", "the data folder to fill; no server runs on it")
	n := flag.Int("requests", 1_000_000, "how many requests")
	rate := flag.Int("rate", 40, "how many of them came in one second")
	bundleDir := flag.String("bundle", "", "the folder of the bundle that decides; the shipped rules alone when empty")
	flag.Parse()
	if err := fill(context.Background(), *dir, *bundleDir, *n, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "recorded:", err)
		os.Exit(1)
	}
}

func fill(ctx context.Context, dir, bundleDir string, n, rate int) error {
	if dir == "" {
		return errors.New("-data-dir is needed")
	}
	at := filepath.Join(dir, "decisions")
	if _, err := os.Stat(at); err == nil {
		return fmt.Errorf("%s is there already", at)
	}
	ev, err := bundle.Compile(ctx, bundleDir, opa.Limits{})
	if err != nil {
		return err
	}
	log, err := decisionlog.Open(ctx, decisionlog.Config{Dir: at})
	if err != nil {
		return err
	}
	gate, err := policy.NewGate(policy.GateConfig{Bundles: only{ev}, Directory: people{}, Recorder: log, Deadline: 10 * time.Second})
	if err != nil {
		return err
	}
	start := time.Now()
	first := start.Add(-time.Duration(n/rate+60) * time.Second)
	var next, allowed, retried atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				req := request(i, first.Add(time.Duration(i/rate)*time.Second))
				d, err := gate.Admit(ctx, req)
				for errors.Is(err, policy.ErrUnavailable) {
					retried.Add(1)
					time.Sleep(20 * time.Millisecond) // the flusher sets the pace
					d, err = gate.Admit(ctx, req)
				}
				if d.Allowed() {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if err := log.Close(ctx); err != nil {
		return err
	}
	fmt.Printf("%d requests, %d allowed, %d asked again, in %s, by %s\n", n, allowed.Load(), retried.Load(), time.Since(start).Round(time.Second), ev.Revision())
	return nil
}

// only hands out one bundle.
type only struct{ ev policy.Evaluator }

func (o only) Current() (policy.Evaluator, error) { return o.ev, nil }

// people are 300 developers, every tenth request by somebody who is none, and
// projects with a pack each.
type people struct{}

func (p people) View() (policy.View, error) { return p, nil }
func (people) Revision() int64              { return 1 }

func (people) Subject(p policy.Principal, project string, _ time.Time) policy.Subject {
	if p.Groups == nil {
		return policy.Subject{}
	}
	return policy.Subject{Roles: []string{"developer"}, Grants: []policy.Grant{{Repositories: project + "/**", Role: "developer"}}}
}

func (people) Project(workspace, name string) (policy.Project, bool) {
	own := []policy.Pack{{Name: "image", Mode: policy.ModeDeny, Config: []byte(`{"deny_root":true,"required_labels":["team"],"max_age_days":900}`)}}
	return policy.Project{Workspace: workspace, Name: name, Owner: "team-" + name, Labels: map[string]string{"tier": "prod"}, Packs: own}, true
}

func (people) Waivers(policy.Repository, digest.Digest, time.Time) []policy.Waiver { return nil }

func (people) BreakGlass(policy.Principal, string, time.Time) (policy.BreakGlass, bool) {
	return policy.BreakGlass{}, false
}

// request is the i-th request: of ten, three pull a manifest, four a layer, one lists
// tags, one gets a token and one is by somebody who may not.
func request(i int, at time.Time) policy.Request {
	// Each project has 5 repositories of 20 images: neighbours differ.
	k := i * 7919
	repo, tag := fmt.Sprintf("project-%d/app-%d", k%50, k%5), fmt.Sprintf("1.%d", k%20)
	r := policy.Request{
		ID: fmt.Sprintf("R%d", i), At: at, Action: policy.ManifestPull, Purpose: policy.Use,
		Principal: policy.Principal{
			Workspace: policy.DefaultWorkspace, Issuer: policy.LocalIssuer, ID: fmt.Sprintf("user-%d", k%300), Kind: policy.KindUser,
			Auth: policy.AuthBasic, Groups: []string{"devs", "ops"},
		},
		HTTP: policy.HTTP{Method: "GET", Path: "/v2/" + repo + "/manifests/" + tag, ClientIP: fmt.Sprintf("10.1.%d.%d", k%7, k%250),
			UserAgent: "docker/29.0 go/go1.24 kernel/6.8 os/linux arch/amd64", Host: "registry.example.com"},
		Repository: policy.Repository{Workspace: policy.DefaultWorkspace, Name: repo},
		Reference:  policy.Reference{Kind: policy.ByTag, Value: tag},
	}
	switch i % 10 {
	case 0, 1, 2:
		r.Artifact = images[k%len(images)]
		r.Reference.Current = r.Artifact.Digest
	case 3, 4, 5, 6:
		r.Action, r.Reference = policy.BlobPull, policy.Reference{}
		layer := images[k%len(images)].Layers[i%4]
		r.HTTP.Path = "/v2/" + repo + "/blobs/" + string(layer.Digest)
		r.Blob = &policy.Blob{Digest: layer.Digest, Size: layer.Size, Manifest: images[k%len(images)].Digest}
	case 7:
		r.Action, r.Reference, r.HTTP.Path = policy.TagsList, policy.Reference{}, "/v2/"+repo+"/tags/list"
	case 8:
		r.Action, r.Purpose, r.Reference, r.Repository = policy.TokenIssue, policy.Token, policy.Reference{}, policy.Repository{}
		r.HTTP.Path = "/token"
		r.Token = &policy.TokenRequest{Service: "registry.example.com", TTL: 5 * time.Minute,
			Requested: []policy.Scope{{Type: "repository", Name: repo, Actions: []string{"pull", "push"}}}}
	default:
		r.Principal.Groups = nil
	}
	return r
}

// images are what is pulled, with as much as the index knows of them.
var images = func() []*policy.Artifact {
	var out []*policy.Artifact
	for i := range 100 {
		a := &policy.Artifact{
			Digest: digest.FromString(fmt.Sprint("image", i)), MediaType: "application/vnd.oci.image.manifest.v1+json",
			Kind: policy.KindImage, Role: policy.RoleImage, Size: 7023, Tags: []string{fmt.Sprintf("1.%d", i%20), "stable"},
			ConfigBlob: &policy.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: digest.FromString(fmt.Sprint("config", i))},
			Config: &policy.ImageConfig{OS: "linux", Architecture: "amd64", User: []string{"1000", ""}[min(1, i%17/16)], Created: time.Now().AddDate(0, -1, 0).Truncate(time.Second),
				Labels:   map[string]string{"team": "payments", "org.opencontainers.image.source": "https://git.example.com/payments/api"},
				EnvNames: []string{"PATH", "HOME"}, ExposedPorts: []string{"8080/tcp"}},
			PushedAt: time.Now().AddDate(0, -1, 0).Truncate(time.Second), PushedBy: "ci-payments",
		}
		for l := range 4 + i%8 {
			a.Layers = append(a.Layers, policy.Descriptor{Digest: digest.FromString(fmt.Sprint("layer", i, l)), Size: int64(30123 + l), MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
		}
		out = append(out, a.Seal())
	}
	return out
}()
