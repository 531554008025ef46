package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// traffic is what a registry of a company sees: most of it pulls by nodes and by
// CI, some pushes, some people, few refusals. Everything follows from the seed.
type traffic struct {
	rng      *rand.Rand
	at       time.Time
	step     time.Duration
	projects []project
	people   []policy.Principal
	zipf     *rand.Zipf
	queue    []func() *policy.Record
	n        uint64
}

type project struct {
	policy.Project
	images []image
	team   []policy.Principal
}

type image struct {
	repository policy.Repository
	tag        string
	artifact   *policy.Artifact
}

const revision = "sha256:6d1f0cf0d2d9e1f3a54f1fb1f3f8d0c7b4de58dbd3b5a3d7de9c1f5f6bb1a2c3"

func newTraffic(seed uint64, start time.Time, step time.Duration) *traffic {
	t := &traffic{rng: rand.New(rand.NewPCG(seed, 1)), at: start, step: step}
	for i := range 2500 {
		t.people = append(t.people, t.person(i))
	}
	for i := range 400 {
		t.projects = append(t.projects, t.project(i))
	}
	t.zipf = rand.NewZipf(t.rng, 1.15, 8, uint64(len(t.projects)-1))
	return t
}

func (t *traffic) digest() digest.Digest {
	var raw [16]byte
	for i := range raw {
		raw[i] = byte(t.rng.Uint32())
	}
	sum := sha256.Sum256(raw[:])
	return digest.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func (t *traffic) person(i int) policy.Principal {
	switch i % 5 {
	case 0, 1:
		return policy.Principal{
			Issuer: "https://sso.acme.example/realms/main", ID: fmt.Sprintf("%08x-3f1c-4b7e-9d55-%012x", t.rng.Uint32(), t.rng.Uint64()>>16),
			Name: fmt.Sprintf("%s.%s", given[t.rng.IntN(len(given))], family[t.rng.IntN(len(family))]), Kind: policy.KindUser, Auth: "oidc",
			Groups: []string{"employees", fmt.Sprintf("team-%d", t.rng.IntN(60)), "docker-users"},
			Claims: map[string]any{"amr": []any{"pwd", "mfa"}, "email_verified": true},
		}
	case 2:
		return policy.Principal{
			Issuer: "local", ID: fmt.Sprintf("robot$node-%d", i), Kind: policy.KindRobot, Auth: "robot", Credential: fmt.Sprintf("robot:%d", i),
		}
	case 3:
		repo := fmt.Sprintf("acme/service-%d", t.rng.IntN(400))
		return policy.Principal{
			Issuer: "https://token.actions.githubusercontent.com", ID: "repo:" + repo + ":ref:refs/heads/main", Kind: policy.KindWorkload, Auth: "workload",
			Claims: map[string]any{"repository": repo, "ref": "refs/heads/main", "workflow": "release", "runner_environment": "github-hosted"},
		}
	}
	return policy.Principal{Issuer: "local", ID: fmt.Sprintf("%s%d", given[t.rng.IntN(len(given))], i), Kind: policy.KindUser, Auth: "password", Groups: []string{"devs"}}
}

var (
	given  = []string{"alice", "bob", "carol", "dan", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj", "olivia", "peggy", "rupert", "sybil", "trent", "victor", "walter", "wendy"}
	family = []string{"adams", "baker", "clark", "davis", "evans", "frost", "green", "hill", "ito", "jones", "kim", "lopez", "moore", "nguyen", "ortiz", "patel", "quinn", "reed", "smith", "turner"}
	areas  = []string{"payments", "search", "ledger", "mobile", "web", "infra", "ml", "data", "identity", "billing", "shop", "mail"}
)

func (t *traffic) project(i int) project {
	p := project{Project: policy.Project{
		Name: fmt.Sprintf("%s-%d", areas[i%len(areas)], i), Owner: fmt.Sprintf("team-%d", i%60), Public: i%20 == 0,
		Labels: map[string]string{"tier": []string{"prod", "staging", "dev"}[i%3], "cost-center": fmt.Sprint(4000 + i%50)},
	}}
	if i%3 == 0 {
		p.Packs = []policy.Pack{{Name: "image", Mode: policy.ModeWarn, Config: []byte(`{"labels":["org.opencontainers.image.source"],"max_age_days":90}`)}}
	}
	for range 6 + t.rng.IntN(20) {
		p.team = append(p.team, t.people[t.rng.IntN(len(t.people))])
	}
	for k := range 2 + t.rng.IntN(6) {
		repository := policy.Repository{Name: fmt.Sprintf("%s/%s", p.Name, []string{"api", "worker", "frontend", "migrations", "base", "cron", "proxy", "tools"}[k%8])}
		for v := range 3 + t.rng.IntN(5) {
			p.images = append(p.images, t.image(repository, fmt.Sprintf("1.%d.%d", v, t.rng.IntN(40))))
		}
	}
	return p
}

func (t *traffic) image(repository policy.Repository, tag string) image {
	a := &policy.Artifact{
		Repository: repository, Digest: t.digest(), MediaType: "application/vnd.oci.image.manifest.v1+json", Kind: policy.KindImage, Role: policy.RoleImage,
		Size: 1500 + int64(t.rng.IntN(3000)), Tags: []string{tag}, PushedAt: t.at.Add(-time.Duration(t.rng.IntN(90*24)) * time.Hour), PushedBy: t.people[t.rng.IntN(len(t.people))].ID,
		ConfigBlob:  &policy.Descriptor{Digest: t.digest(), Size: 7000, MediaType: "application/vnd.oci.image.config.v1+json"},
		Annotations: map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12", "org.opencontainers.image.base.digest": string(t.digest())},
		Config: &policy.ImageConfig{
			OS: "linux", Architecture: "amd64", User: []string{"", "1000", "nonroot"}[t.rng.IntN(3)], Created: t.at.Add(-100 * time.Hour),
			Labels: map[string]string{
				"org.opencontainers.image.source": "https://git.acme.example/" + repository.Name, "org.opencontainers.image.revision": string(t.digest())[7:47],
				"org.opencontainers.image.version": tag,
			},
			EnvNames: []string{"PATH", "LANG", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"}, ExposedPorts: []string{"8080/tcp"},
		},
	}
	for range 4 + t.rng.IntN(9) {
		a.Layers = append(a.Layers, policy.Descriptor{Digest: t.digest(), Size: int64(t.rng.IntN(80 << 20)), MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
	}
	return image{repository, tag, a.Seal()}
}

// next is the record of the next request.
func (t *traffic) next() *policy.Record {
	for len(t.queue) == 0 {
		t.session()
	}
	make := t.queue[0]
	t.queue = t.queue[1:]
	t.n++
	t.at = t.at.Add(time.Duration(t.rng.ExpFloat64() * float64(t.step)))
	return make()
}

// session puts what one client does into the queue.
func (t *traffic) session() {
	p := &t.projects[t.zipf.Uint64()]
	who := p.team[t.rng.IntN(len(p.team))]
	im := p.images[t.rng.IntN(len(p.images))]
	agent := []string{"docker/29.0.1 go/go1.25 kernel/6.1.0 os/linux arch/amd64", "containerd/v2.1.4", "buildkit/v0.23", "crane/v0.20.6", "skopeo/1.18", "Helm/3.18"}[t.rng.IntN(6)]
	ip := fmt.Sprintf("10.%d.%d.%d", t.rng.IntN(4), t.rng.IntN(200), t.rng.IntN(250))
	ask := func(action policy.Action, method, path string, change func(*policy.Request)) {
		t.queue = append(t.queue, func() *policy.Record {
			r := policy.Request{
				ID: t.requestID(), At: t.at.Truncate(time.Second), Principal: who, Action: action, Repository: im.repository,
				HTTP: policy.HTTP{Method: method, Path: path, ClientIP: ip, UserAgent: agent, Host: "registry.acme.example"},
			}
			if change != nil {
				change(&r)
			}
			return t.record(r, p)
		})
	}
	none := func(r *policy.Request) { r.Repository = policy.Repository{} }
	token := func(actions ...string) {
		ask(policy.TokenIssue, "GET", "/token", func(r *policy.Request) {
			r.Repository, r.Purpose = policy.Repository{}, policy.Token
			r.Token = &policy.TokenRequest{Service: "registry.acme.example", TTL: 5 * time.Minute, Requested: []policy.Scope{{Type: "repository", Name: im.repository.Name, Actions: actions}}}
		})
	}
	manifests := "/v2/" + im.repository.Name + "/manifests/"
	switch dice := t.rng.IntN(100); {
	case dice < 72: // a pull
		ask(policy.RegistryPing, "GET", "/v2/", none)
		token("pull")
		ask(policy.ManifestPull, "HEAD", manifests+im.tag, func(r *policy.Request) {
			r.Artifact, r.Reference = im.artifact, policy.Reference{Kind: policy.ByTag, Value: im.tag, Current: im.artifact.Digest}
		})
		ask(policy.ManifestPull, "GET", manifests+string(im.artifact.Digest), func(r *policy.Request) {
			r.Artifact, r.Reference = im.artifact, policy.Reference{Kind: policy.ByDigest, Value: string(im.artifact.Digest)}
		})
		for k := range min(len(im.artifact.Layers), 1+t.rng.IntN(6)) {
			l := im.artifact.Layers[k]
			ask(policy.BlobPull, "GET", "/v2/"+im.repository.Name+"/blobs/"+string(l.Digest), func(r *policy.Request) {
				r.Blob = &policy.Blob{Digest: l.Digest, Size: l.Size, Manifest: im.artifact.Digest}
			})
		}
	case dice < 82: // a push
		fresh := t.image(im.repository, fmt.Sprintf("2.%d.%d", t.rng.IntN(30), t.rng.IntN(100)))
		token("pull", "push")
		for _, l := range fresh.artifact.Layers[:2] {
			session := fmt.Sprintf("%016x%016x", t.rng.Uint64(), t.rng.Uint64())
			path := "/v2/" + im.repository.Name + "/blobs/uploads/"
			upload := func(r *policy.Request) {
				r.Upload = &policy.Upload{Session: session, DeclaredSize: l.Size, Digest: l.Digest}
			}
			ask(policy.BlobPull, "HEAD", "/v2/"+im.repository.Name+"/blobs/"+string(l.Digest), func(r *policy.Request) { r.Blob, r.Purpose = &policy.Blob{Digest: l.Digest}, policy.Inspect })
			ask(policy.BlobPush, "POST", path, upload)
			ask(policy.BlobPush, "PUT", path+session, upload)
		}
		ask(policy.ManifestPush, "PUT", manifests+fresh.tag, func(r *policy.Request) {
			a := *fresh.artifact
			a.PushedAt, a.Tags = time.Time{}, nil
			r.Artifact, r.Reference = a.Seal(), policy.Reference{Kind: policy.ByTag, Value: fresh.tag}
		})
	case dice < 88:
		ask(policy.TagsList, "GET", "/v2/"+im.repository.Name+"/tags/list", nil)
	case dice < 92:
		ask(policy.ReferrersList, "GET", "/v2/"+im.repository.Name+"/referrers/"+string(im.artifact.Digest), func(r *policy.Request) {
			r.Reference, r.Referrers = policy.Reference{Kind: policy.ByDigest, Value: string(im.artifact.Digest)}, &policy.ReferrersQuery{Count: 3}
		})
	case dice < 94: // somebody who guesses names
		who, im.repository = policy.Principal{}, policy.Repository{Name: fmt.Sprintf("%x/app", t.rng.Uint32()&0xfffff)}
		ask(policy.ManifestPull, "GET", "/v2/"+im.repository.Name+"/manifests/latest", func(r *policy.Request) { r.Reference = policy.Reference{Kind: policy.ByTag, Value: "latest"} })
	case dice < 96:
		ask(policy.CatalogList, "GET", "/v2/_catalog", none)
	case dice < 98:
		ask(policy.SessionLogin, "POST", "/api/v1/login", none)
	default:
		ask(policy.AdminAPI, "GET", "/api/v1/projects/"+p.Name, func(r *policy.Request) {
			r.Admin = &policy.AdminCall{Resource: "project", Verb: "read", ID: p.Name}
		})
	}
}

func (t *traffic) requestID() string {
	return fmt.Sprintf("%016x%016x", t.rng.Uint64(), t.rng.Uint64())
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// id is a decision's id: a ULID, as the gate makes them.
func (t *traffic) id() string {
	var out [26]byte
	ms := uint64(t.at.UnixMilli())
	for i := 9; i >= 0; i-- {
		out[i] = crockford[ms&31]
		ms >>= 5
	}
	for i := 10; i < 26; i++ {
		out[i] = crockford[t.rng.IntN(32)]
	}
	return string(out[:])
}

func (t *traffic) record(r policy.Request, p *project) *policy.Record {
	roles := []string{"developer"}
	if r.Principal.ID == "" {
		roles = nil
	}
	f := policy.Facts{
		Request: r, Subject: policy.Subject{Roles: roles}, Project: p.Project, ProjectExists: true, Revision: revision,
		Packs: append([]policy.Pack{{Name: "rbac", Mode: policy.ModeDeny, Config: []byte(`{}`)}, {Name: "governance", Mode: policy.ModeDeny, Config: []byte(`{"max_days":90}`)}}, p.Packs...),
	}
	if r.Principal.ID == "" {
		f.Project, f.ProjectExists = policy.Project{Name: r.Repository.Project()}, false
	}
	rec := &policy.Record{
		ID: t.id(), At: t.at, RequestID: r.ID, Workspace: policy.DefaultWorkspace, Action: r.Action, Purpose: r.Purpose,
		Subject: r.Principal.ID, Issuer: r.Principal.Issuer, Project: r.Repository.Project(), Repository: r.Repository.Name,
		Reference: r.Reference.Value, Decision: t.decide(f), Packs: f.Project.Packs,
		Input: func() map[string]any { return policy.Document(f) },
	}
	if rec.Purpose == "" {
		rec.Purpose = policy.Use
	}
	switch {
	case r.Admin != nil:
		rec.Reference, rec.Project = r.Admin.Resource+":"+r.Admin.Verb+" "+r.Admin.ID, p.Name
	case r.Artifact != nil:
		rec.Digest = string(r.Artifact.Digest)
	case r.Blob != nil:
		rec.Digest = string(r.Blob.Digest)
	}
	if t.n%200_003 == 0 {
		rec.Outage, rec.Decision = "no decision within the deadline", policy.Decision{Revision: revision}
	}
	rec.Hit()
	return rec
}

// decide is what the shipped rules would say, roughly: what matters here is how a
// record looks and how often.
func (t *traffic) decide(f policy.Facts) policy.Decision {
	d := policy.Decision{Verdict: policy.Allow, Visible: true, Revision: revision}
	r := &f.Request
	deny := func(code, pack, msg, fix string) {
		reason := policy.Reason{Code: code, Pack: pack, Mode: "deny", Severity: "high", Message: msg, Remediation: fix}
		d.Verdict, d.Deny, d.Message = policy.Deny, []policy.Reason{reason}, "["+code+"] "+msg
	}
	switch {
	case r.Principal.ID == "" && r.Action == policy.ManifestPull:
		deny("rbac.anonymous", "rbac", "nobody is logged in and "+r.Repository.Project()+" is not public", "Log in.")
		d.Visible = false
	case t.rng.IntN(120) == 0 && r.Repository.Name != "":
		deny("rbac.right", "rbac", r.Principal.ID+" has no right to "+string(r.Action)+" in "+r.Repository.Project(), "Ask an administrator of the project.")
	case r.Action == policy.ManifestPull && r.Artifact != nil && r.Artifact.Config.User == "" && len(f.Project.Packs) > 0:
		d.Warn = []policy.Reason{{Code: "image.root_user", Pack: "image", Mode: "warn", Severity: "medium", Message: "the image runs as root", Remediation: "Set USER to somebody else."}}
	}
	if r.Token != nil && d.Verdict == policy.Allow {
		d.Granted = r.Token.Requested
	}
	return d
}
