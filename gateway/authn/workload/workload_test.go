package workload_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/gateway/authn/workload"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

const audience = "https://registry.acme.test"

// What the platforms write, after their documentation.
var (
	github = map[string]any{
		"sub": "repo:acme/api:environment:prod", "repository": "acme/api", "repository_id": "74", "repository_owner": "acme",
		"ref": "refs/heads/main", "ref_type": "branch", "sha": "f1f1", "environment": "prod", "workflow": "release",
		"job_workflow_ref": "acme/api/.github/workflows/release.yml@refs/heads/main", "actor": "alice", "run_id": "501",
		"event_name": "push", "runner_environment": "github-hosted", "jti": "x", "nbf": 1,
	}
	gitlab = map[string]any{
		"sub": "project_path:acme/api:ref_type:branch:ref:main", "project_path": "acme/api", "namespace_path": "acme", "ref": "main",
		"ref_protected": "true", "pipeline_id": "1212", "runner_id": 1, "user_email": "alice@acme.test", "user_login": "alice",
		"user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2435223452345"}},
	}
	kubernetes = map[string]any{
		"sub": "system:serviceaccount:shop:builder", "aud": []string{"https://kubernetes.default.svc", audience},
		"kubernetes.io": map[string]any{
			"namespace": "shop", "node": map[string]any{"name": "n1", "uid": "u1"}, "pod": map[string]any{"name": "builder-1", "uid": "u2"},
			"serviceaccount": map[string]any{"name": "builder", "uid": "u3"}, "warnafter": 1790000000,
		},
	}
)

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func newProvider(t testing.TB, i *harness.Issuer, c *clock, change ...func(*workload.Trust)) *workload.Provider {
	t.Helper()
	trust := workload.Trust{Name: "ci", Issuer: i.URL, Audience: audience, PlainHTTP: true}
	for _, f := range change {
		f(&trust)
	}
	p, err := workload.New(workload.Config{
		Issuers: []workload.Trust{trust}, Client: i.Client(), Now: c.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAWorkloadIsKnownByTheTokenOfItsPlatform(t *testing.T) {
	i := harness.StartIssuer(t)
	p := newProvider(t, i, &clock{})
	for _, c := range []struct {
		platform, name string
		token          map[string]any
		claims         map[string]any
	}{
		{"GitHub", "acme/api@refs/heads/main", github, map[string]any{
			"repository": "acme/api", "repository_id": "74", "repository_owner": "acme", "ref": "refs/heads/main", "ref_type": "branch",
			"sha": "f1f1", "environment": "prod", "workflow": "release", "actor": "alice", "run_id": "501", "event_name": "push",
			"job_workflow_ref": "acme/api/.github/workflows/release.yml@refs/heads/main", "runner_environment": "github-hosted",
		}},
		{"GitLab", "acme/api", gitlab, map[string]any{
			"project_path": "acme/api", "namespace_path": "acme", "ref": "main", "ref_protected": "true", "pipeline_id": "1212",
			"runner_id": 1.0, "user_login": "alice",
		}},
		{"Kubernetes", "shop/builder", kubernetes, map[string]any{
			"kubernetes.io/namespace": "shop", "kubernetes.io/node/name": "n1", "kubernetes.io/node/uid": "u1",
			"kubernetes.io/pod/name": "builder-1", "kubernetes.io/pod/uid": "u2", "kubernetes.io/serviceaccount/name": "builder",
			"kubernetes.io/serviceaccount/uid": "u3", "kubernetes.io/warnafter": 1790000000.0,
		}},
		{"another", "", map[string]any{"sub": "job-7", "branch": "main"}, map[string]any{}},
	} {
		t.Run(c.platform, func(t *testing.T) {
			claims := i.Claims(audience, c.token)
			raw := i.Sign(claims)
			want := policy.Principal{
				Workspace: "default", Issuer: i.URL, ID: c.token["sub"].(string), Name: c.name,
				Kind: policy.KindWorkload, Auth: policy.AuthWorkload, Claims: c.claims, Until: time.Unix(claims["exp"].(int64), 0),
			}
			for range 2 { // verified, and remembered
				got, err := p.Authenticate(t.Context(), "default", "anything", raw)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%+v\nwant %+v, %v", got, want, err)
				}
			}
			got, err := p.Exchange(t.Context(), "default", "urn:ietf:params:oauth:token-type:id_token", raw)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("by exchange: %+v, %v", got, err)
			}
		})
	}
}

func TestWhatIsNotATokenOfATrustedIssuerIsSomebodyElses(t *testing.T) {
	i, stranger := harness.StartIssuer(t), harness.StartIssuer(t)
	p := newProvider(t, i, &clock{})
	for name, c := range map[string]struct{ workspace, password string }{
		"a password":                {"default", "correct horse battery staple"},
		"a password with dots":      {"default", "a.b.c"},
		"an issuer that is unknown": {"default", stranger.Sign(stranger.Claims(audience, nil))},
		"another workspace":         {"other", i.Sign(i.Claims(audience, nil))},
		"another audience":          {"default", i.Sign(i.Claims("https://other.example", nil))},
		"no audience":               {"default", i.Sign(i.Claims(audience, map[string]any{"aud": nil}))},
	} {
		if _, err := p.Authenticate(t.Context(), c.workspace, "x", c.password); !errors.Is(err, policy.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i.Asked()+stranger.Asked() != 0 {
		t.Error("keys were fetched for somebody who is not trusted")
	}
}

func TestATokenThatIsOffIsRefused(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	p := newProvider(t, i, c, func(t *workload.Trust) { t.MaxAge = time.Hour })
	now := time.Now()
	big := map[string]any{}
	for n := range 65 {
		big[fmt.Sprint("n", n)] = "x"
	}
	good := i.Sign(i.Claims(audience, github))
	for name, raw := range map[string]string{
		"expired":                    i.Sign(i.Claims(audience, map[string]any{"exp": now.Add(-time.Minute).Unix(), "iat": now.Add(-time.Hour).Unix()})),
		"issued too long ago":        i.Sign(i.Claims(audience, map[string]any{"iat": now.Add(-2 * time.Hour).Unix()})),
		"signed by somebody else":    harness.SignJWS(t, harness.NewSigningKey(t, "ES256"), "ES256", `{"alg":"ES256","kid":"key-1"}`, mustJSON(t, i.Claims(audience, github))),
		"no signature":               good[:strings.LastIndexByte(good, '.')+1],
		"a claim that is too long":   i.Sign(i.Claims(audience, map[string]any{"repository": strings.Repeat("r", 1025)})),
		"claims that are too many":   i.Sign(i.Claims(audience, map[string]any{"kubernetes.io": big})),
		"a list that is too long":    i.Sign(i.Claims(audience, map[string]any{"ref": make([]int, 65)})),
		"a long element":             i.Sign(i.Claims(audience, map[string]any{"ref": []string{strings.Repeat("r", 1025)}})),
		"claims that are too deep":   i.Sign(i.Claims(audience, map[string]any{"kubernetes.io": nested(6)})),
		"claims that are too much":   i.Sign(i.Claims(audience, map[string]any{"ref": strings.Split(strings.Repeat(strings.Repeat("r", 100)+",", 60), ",")})),
		"a claim that is said twice": i.Sign(i.Claims(audience, map[string]any{"kubernetes.io": map[string]any{"a/b": "1", "a": map[string]any{"b": "2"}}})),
		"a long name of a claim":     i.Sign(i.Claims(audience, map[string]any{"kubernetes.io": map[string]any{strings.Repeat("n", 128): "1"}})),
	} {
		if got, err := p.Authenticate(t.Context(), "default", "x", raw); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func nested(depth int) any {
	if depth == 0 {
		return "x"
	}
	return map[string]any{"d": nested(depth - 1)}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAWorkloadEndsWithItsTokenAndItsAge(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	p := newProvider(t, i, c, func(t *workload.Trust) { t.MaxAge = time.Hour })
	issued := time.Now().Truncate(time.Second)
	raw := i.Sign(i.Claims(audience, map[string]any{"iat": issued.Unix(), "exp": issued.Add(8 * time.Hour).Unix()}))
	got, err := p.Authenticate(t.Context(), "default", "x", raw)
	if err != nil || !got.Until.Equal(issued.Add(time.Hour)) {
		t.Fatalf("%s, %v", got.Until, err)
	}
	c.ahead.Store(int64(time.Hour + time.Second))
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("it is remembered beyond its age: %v", err)
	}
}

func TestWhatIsRememberedEndsWithTheKeys(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	p := newProvider(t, i, c, func(t *workload.Trust) { t.MaxAge = 100 * time.Hour })
	long := i.Claims(audience, map[string]any{"exp": time.Now().Add(90 * time.Hour).Unix()})
	raw := i.Sign(long)
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); err != nil {
		t.Fatal(err)
	}
	i.Rotate("EdDSA")
	i.Drop()
	c.ahead.Store(int64(jwt.DefaultHold))
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("the key was withdrawn: %v", err)
	}
	raw = i.Sign(long)
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); err != nil {
		t.Fatal(err)
	}
	i.Down(true)
	c.ahead.Store(int64(20 * time.Hour))
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); err != nil {
		t.Fatalf("into the outage: %v", err)
	}
	c.ahead.Store(int64(26 * time.Hour))
	if _, err := p.Authenticate(t.Context(), "default", "x", raw); !errors.Is(err, policy.ErrUnavailable) || !strings.Contains(err.Error(), "ci") {
		t.Fatalf("a day into the outage: %v", err)
	}
}

func TestTheClaimsToKeepAreAChoice(t *testing.T) {
	i := harness.StartIssuer(t)
	p := newProvider(t, i, &clock{}, func(t *workload.Trust) { t.Claims = []string{"branch", "labels", "free", "none"} })
	got, err := p.Authenticate(t.Context(), "default", "x", i.Sign(i.Claims(audience, map[string]any{
		"repository": "acme/api", "branch": "main", "labels": []any{"a", "b", 3, true}, "free": true,
		"none": json.RawMessage("null"),
	})))
	want := map[string]any{"branch": "main", "labels": []any{"a", "b", 3.0, true}, "free": true}
	if err != nil || !reflect.DeepEqual(got.Claims, want) {
		t.Fatalf("%v, %v", got.Claims, err)
	}
}

func TestANameThatCouldPaintATerminalIsNotShown(t *testing.T) {
	i := harness.StartIssuer(t)
	p := newProvider(t, i, &clock{})
	for _, repository := range []string{"acme/\x1b[31mapi", "acme/\u202eapi", strings.Repeat("a", 300)} {
		got, err := p.Authenticate(t.Context(), "default", "x", i.Sign(i.Claims(audience, map[string]any{"repository": repository, "sub": "s"})))
		if err != nil || got.Label() != "s" {
			t.Errorf("%q is shown: %v", got.Label(), err)
		}
	}
}

// Two workspaces that trust one issuer share its keys and nothing else.
func TestWorkspacesTrustForThemselves(t *testing.T) {
	i := harness.StartIssuer(t)
	p, err := workload.New(workload.Config{Client: i.Client(), Issuers: []workload.Trust{
		{Issuer: i.URL, Audience: audience, PlainHTTP: true},
		{Issuer: i.URL, Audience: audience, PlainHTTP: true, Workspace: "prod", Claims: []string{}, Client: i.Client()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	raw := i.Sign(i.Claims(audience, github))
	for range 2 {
		for workspace, claims := range map[string]int{"default": 13, "prod": 0} {
			got, err := p.Authenticate(t.Context(), workspace, "x", raw)
			if err != nil || got.Workspace != workspace || len(got.Claims) != claims {
				t.Fatalf("%s: %+v, %v", workspace, got, err)
			}
		}
	}
	if i.Asked() != 1 {
		t.Fatalf("the keys were read %d times", i.Asked())
	}
}

func TestNewChecksItsConfiguration(t *testing.T) {
	i := harness.StartIssuer(t)
	good := workload.Trust{Issuer: i.URL, Audience: audience, PlainHTTP: true}
	for name, change := range map[string]func(*workload.Config){
		"no audience":         func(c *workload.Config) { c.Issuers[0].Audience = "" },
		"no issuer":           func(c *workload.Config) { c.Issuers[0].Issuer = "" },
		"plain HTTP":          func(c *workload.Config) { c.Issuers[0].PlainHTTP = false },
		"no client":           func(c *workload.Config) { c.Client = nil },
		"an issuer twice":     func(c *workload.Config) { c.Issuers = append(c.Issuers, good) },
		"a negative age":      func(c *workload.Config) { c.Issuers[0].MaxAge = -1 },
		"a claim twice":       func(c *workload.Config) { c.Issuers[0].Claims = []string{"a", "a"} },
		"a claim of no name":  func(c *workload.Config) { c.Issuers[0].Claims = []string{""} },
		"a negative memory":   func(c *workload.Config) { c.Remembered = -1 },
		"keys kept for years": func(c *workload.Config) { c.Issuers[0].Keep = 365 * 24 * time.Hour },
	} {
		cfg := workload.Config{Issuers: []workload.Trust{good}, Client: i.Client()}
		change(&cfg)
		if _, err := workload.New(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := workload.New(workload.Config{})
	if err != nil {
		t.Fatalf("nobody is trusted: %v", err)
	}
	if _, err := p.Authenticate(t.Context(), "default", "x", i.Sign(i.Claims(audience, nil))); !errors.Is(err, policy.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

// FuzzClaims signs whatever claims there are: what is kept stays within the limits.
func FuzzClaims(f *testing.F) {
	i := harness.StartIssuer(f)
	p := newProvider(f, i, &clock{})
	k := i.Key()
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, k.Algorithm, k.ID)
	for _, claims := range []map[string]any{github, gitlab, kubernetes} {
		f.Add(mustJSON(f, claims))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var more map[string]any
		if len(raw) > 12<<10 || json.Unmarshal(raw, &more) != nil {
			return
		}
		claims := i.Claims(audience, nil)
		for _, registered := range []string{"iss", "aud", "exp", "iat", "nbf"} {
			delete(more, registered)
		}
		maps.Copy(claims, more)
		got, err := p.Authenticate(t.Context(), "default", "x", harness.SignJWS(t, k.Private, k.Algorithm, header, mustJSON(t, claims)))
		if err != nil {
			if !errors.Is(err, policy.ErrUnauthenticated) && !errors.Is(err, policy.ErrNotFound) {
				t.Fatalf("another class of error: %v", err)
			}
			return
		}
		if len(got.Claims) > 64 || len(mustJSON(t, got.Claims)) > 12<<10 || len(got.Name) > 255 || got.ID == "" {
			t.Fatalf("kept: %+v", got)
		}
		for name, value := range got.Claims {
			switch value.(type) {
			case string, bool, float64, []any:
			default:
				t.Fatalf("%s is a %T", name, value)
			}
		}
	})
}

func benchmark(b *testing.B, algorithm string, remembered int) {
	i := harness.StartIssuer(b)
	i.Rotate(algorithm)
	p, err := workload.New(workload.Config{Client: i.Client(), Remembered: remembered, Issuers: []workload.Trust{
		{Issuer: i.URL, Audience: audience, PlainHTTP: true},
	}})
	if err != nil {
		b.Fatal(err)
	}
	raws := make([]string, 4)
	for n := range raws {
		claims := maps.Clone(github)
		claims["run_id"] = fmt.Sprint(n)
		raws[n] = i.Sign(i.Claims(audience, claims))
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Authenticate(b.Context(), "default", "x", raws[n%len(raws)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// A memory of one byte has forgotten a token before it comes again.
func BenchmarkVerifyRS256(b *testing.B) { benchmark(b, "RS256", 1) }
func BenchmarkVerifyES256(b *testing.B) { benchmark(b, "ES256", 1) }
func BenchmarkRemembered(b *testing.B)  { benchmark(b, "RS256", 0) }
