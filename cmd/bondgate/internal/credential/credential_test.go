package credential_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/cmd/bondgate/internal/credential"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

// registry is the part of a gateway that a login meets: what it publishes, and an
// endpoint that takes ID tokens.
type registry struct {
	host      string
	providers *oidc.Providers
}

type anybody struct{}

func (anybody) Enroll(_ context.Context, p policy.Principal, _ authn.Profile) (policy.Principal, error) {
	return p, nil
}

func newRegistry(t *testing.T, issuers ...*harness.OIDCProvider) *registry {
	t.Helper()
	var configs []oidc.Config
	for i, p := range issuers {
		configs = append(configs, oidc.Config{
			Name: fmt.Sprintf("idp%d", i), Workspace: "default", Issuer: p.Issuer, ClientID: harness.OIDCClient, CLIClientID: harness.OIDCCLI,
			GroupsClaim: "groups", Client: http.DefaultClient, PlainHTTP: true,
		})
	}
	ps, err := oidc.New(anybody{}, configs...)
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{providers: ps}
	known := oidc.NewWellKnown(ps, "/token")
	mux := http.NewServeMux()
	mux.HandleFunc(oidc.WellKnownPath, func(w http.ResponseWriter, req *http.Request) {
		_ = known.Serve(w, req, authn.Caller{Principal: policy.Principal{Workspace: "default"}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, req *http.Request) {
		p, err := ps.Exchange(req.Context(), "default", req.PostFormValue("subject_token_type"), req.PostFormValue("subject_token"))
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"message":"not one of ours"}]}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "for " + p.ID})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// confirming reads what a person reads, opens the address and confirms the code.
type confirming struct {
	t    *testing.T
	sub  string
	mu   sync.Mutex
	text bytes.Buffer
	once sync.Once
}

func (c *confirming) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.text.Write(p)
	if found := regexp.MustCompile(`Open (\S+)\nand confirm the code (\S+)\n`).FindStringSubmatch(c.text.String()); found != nil {
		c.once.Do(func() { harness.NewVisitor(c.t).Get(found[1]).LogIn(c.sub) })
	}
	return n, err
}

func login(t *testing.T, r *registry, provider, sub string) (credential.Entry, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	return credential.Device{Client: credential.NewHTTPClient(), Out: &confirming{t: t, sub: sub}}.Login(ctx, r.host, provider)
}

func newFile(t *testing.T) *credential.File {
	t.Helper()
	f, err := credential.OpenFile(filepath.Join(t.TempDir(), "bondgate"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// helper asks as docker does.
func helper(t *testing.T, f *credential.File, now func() time.Time, action, input string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := credential.Helper{File: f, Client: credential.NewHTTPClient(), Now: now}.Serve(t.Context(), action, strings.NewReader(input), &out)
	return out.String(), err
}

type answered struct{ ServerURL, Username, Secret string }

func get(t *testing.T, f *credential.File, now func() time.Time, host string) (answered, error) {
	t.Helper()
	out, err := helper(t, f, now, "get", host)
	var a answered
	if err == nil {
		err = json.Unmarshal([]byte(out), &a)
	}
	return a, err
}

// The whole way at a real provider: a code is confirmed in a browser, docker gets
// an ID token that the gateway takes, and it is renewed unasked until the login ends.
func TestALoginLastsUntilItIsOver(t *testing.T) {
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{})
	provider.SetPerson("a-1", map[string]any{"preferred_username": "alice", "groups": []string{"dev"}})
	r := newRegistry(t, provider)
	entry, err := login(t, r, "", "a-1")
	if err != nil || entry.Username != "alice" || entry.Login == nil || entry.Login.RefreshToken == "" {
		t.Fatalf("%+v, %v", entry, err)
	}
	f := newFile(t)
	if err := f.Put(r.host, entry); err != nil {
		t.Fatal(err)
	}
	takes := func(a answered) {
		t.Helper()
		if p, err := r.providers.Authenticate(t.Context(), "default", a.Username, a.Secret); err != nil || p.ID != "a-1" {
			t.Fatalf("the gateway does not take it: %+v, %v", p, err)
		}
	}
	first, err := get(t, f, time.Now, r.host)
	if err != nil || first.Username != "alice" || first.Secret != entry.Login.IDToken {
		t.Fatalf("%+v, %v", first, err)
	}
	takes(first)

	// Docker asks with many processes at once. The provider ends a login whose refresh
	// token is sent twice.
	later := func() time.Time { return time.Now().Add(5 * time.Minute) }
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := get(t, f, later, "https://"+r.host+"/v2/"); err != nil {
				t.Errorf("not renewed: %v", err)
			}
		})
	}
	all.Wait()
	kept, err := f.Get(r.host, nil)
	if err != nil || kept.Login.RefreshToken == entry.Login.RefreshToken {
		t.Fatalf("nothing was renewed: %v", err)
	}
	second, err := get(t, f, time.Now, r.host)
	if err != nil {
		t.Fatal(err)
	}
	takes(second)

	provider.Stop()
	if a, err := get(t, f, func() time.Time { return time.Now().Add(5 * time.Minute) }, r.host); err != nil || a.Secret != second.Secret {
		t.Fatalf("while the provider is away: %v", err)
	}
	if a, err := get(t, f, func() time.Time { return time.Now().Add(9 * time.Minute) }, r.host); err == nil {
		t.Fatalf("an old token is handed out: %+v", a)
	}
	provider.Start() // which has forgotten all logins
	_, err = get(t, f, func() time.Time { return time.Now().Add(9 * time.Minute) }, r.host)
	if err == nil || !strings.Contains(err.Error(), "bondgate login "+r.host) {
		t.Fatalf("the login is over: %v", err)
	}
}

func TestLogoutIsToldToTheProvider(t *testing.T) {
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{})
	provider.SetPerson("a-1", map[string]any{"preferred_username": "alice"})
	r := newRegistry(t, provider)
	entry, err := login(t, r, "idp0", "a-1")
	if err != nil {
		t.Fatal(err)
	}
	f, copied := newFile(t), newFile(t)
	for _, file := range []*credential.File{f, copied} {
		if err := file.Put(r.host, entry); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := helper(t, f, time.Now, "erase", r.host); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, f, time.Now, r.host); err == nil || err.Error() != "credentials not found in native keychain" {
		t.Fatalf("docker knows a missing credential by its words: %v", err)
	}
	later := func() time.Time { return time.Now().Add(5 * time.Minute) }
	if a, err := get(t, copied, later, r.host); err == nil {
		t.Fatalf("a copy of the credential still works: %+v", a)
	}
}

func TestALoginThatTheRegistryDoesNotTake(t *testing.T) {
	provider, other := harness.StartOIDCProvider(t, harness.OIDCOptions{}), harness.StartOIDCProvider(t, harness.OIDCOptions{})
	r := newRegistry(t, provider, other)
	if _, err := login(t, r, "", "a-1"); err == nil || !strings.Contains(err.Error(), "idp0, idp1") {
		t.Errorf("which provider: %v", err)
	}
	if _, err := login(t, r, "nobody", "a-1"); err == nil || !strings.Contains(err.Error(), "idp0, idp1") {
		t.Errorf("no such provider: %v", err)
	}
	if _, err := login(t, newRegistry(t), "", "a-1"); err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("no provider at all: %v", err)
	}
	other.SetPerson("a-1", map[string]any{"groups": 7})
	if _, err := login(t, r, "idp1", "a-1"); err == nil || !strings.Contains(err.Error(), "not one of ours") {
		t.Errorf("refused: %v", err)
	}
}

// A registry, or a provider, that wants more than a login.
func TestAHostileServerGetsNoToken(t *testing.T) {
	token := func(claims map[string]any) string {
		raw, _ := json.Marshal(claims)
		return "e30." + base64.RawURLEncoding.EncodeToString(raw) + ".c2ln"
	}
	type lies struct {
		known, discovery, device, token map[string]any
		redirect                        string
	}
	cases := []struct {
		sentence string
		lie      func(self string, l *lies)
		says     string
	}{
		{"an honest one", func(string, *lies) {}, ""},
		{"a token endpoint elsewhere", func(_ string, l *lies) { l.known["token_endpoint"] = "https://evil.example/token" }, "elsewhere"},
		{"a token endpoint on another port", func(_ string, l *lies) { l.known["token_endpoint"] = "//127.0.0.1:1/token" }, "elsewhere"},
		{"an issuer without TLS", func(_ string, l *lies) { provider(l.known)["issuer"] = "http://id.example.com" }, "https"},
		{"an issuer that is no address", func(_ string, l *lies) { provider(l.known)["issuer"] = "file:///etc/passwd" }, "none"},
		{"discovery for another issuer", func(_ string, l *lies) { l.discovery["issuer"] = "https://login.example.com" }, "says that it is"},
		{"a token endpoint of the provider's in the clear", func(_ string, l *lies) { l.discovery["token_endpoint"] = "http://evil.example/t" }, "https"},
		{"a page to confirm at in the clear", func(_ string, l *lies) { l.device["verification_uri"] = "http://evil.example/d" }, "https"},
		{"a page that is a script", func(_ string, l *lies) { l.device["verification_uri"] = "javascript:alert(1)" }, "none"},
		{"no ID token", func(_ string, l *lies) { delete(l.token, "id_token") }, "no ID token"},
		{"an ID token of rubbish", func(_ string, l *lies) { l.token["id_token"] = "a.b.c" }, "cannot be read"},
		{"the exchange redirected", func(_ string, l *lies) { l.redirect = "http://127.0.0.1:1/steal" }, "307"},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			var l lies
			mux := http.NewServeMux()
			server := httptest.NewServer(mux)
			defer server.Close()
			self := server.URL
			l.known = map[string]any{"token_endpoint": "/exchange", "providers": []any{map[string]any{"name": "p", "issuer": self, "client_id": "c"}}}
			l.discovery = map[string]any{"issuer": self, "token_endpoint": self + "/t", "device_authorization_endpoint": self + "/d"}
			l.device = map[string]any{"device_code": "d", "user_code": "U\x1b[2J", "verification_uri": self + "/v", "expires_in": 60, "interval": 1}
			l.token = map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token(map[string]any{"preferred_username": "al:ice", "iat": 1, "exp": 2})}
			tc.lie(self, &l)
			answer := func(v *map[string]any) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					_ = json.NewEncoder(w).Encode(*v)
				}
			}
			mux.HandleFunc(oidc.WellKnownPath, answer(&l.known))
			mux.HandleFunc("/.well-known/openid-configuration", answer(&l.discovery))
			mux.HandleFunc("/d", answer(&l.device))
			mux.HandleFunc("/t", answer(&l.token))
			mux.HandleFunc("/exchange", func(w http.ResponseWriter, r *http.Request) {
				if l.redirect != "" {
					http.Redirect(w, r, l.redirect, http.StatusTemporaryRedirect)
					return
				}
				_, _ = io.WriteString(w, `{"access_token":"x"}`)
			})
			var out bytes.Buffer
			e, err := credential.Device{Client: credential.NewHTTPClient(), Out: &out}.Login(t.Context(), self, "")
			switch {
			case tc.says == "" && (err != nil || e.Username != "oidc"):
				t.Fatalf("%+v, %v", e, err)
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Fatal(err)
			}
			if strings.ContainsRune(out.String(), 0x1b) {
				t.Fatalf("the provider steers the terminal: %q", out.String())
			}
		})
	}
}

func provider(known map[string]any) map[string]any {
	return known["providers"].([]any)[0].(map[string]any)
}

func TestWhatDockerLoginLeaves(t *testing.T) {
	f := newFile(t)
	if _, err := helper(t, f, time.Now, "store", `{"ServerURL":"https://Registry.example.com","Username":"robot$ci","Secret":"s"}`); err != nil {
		t.Fatal(err)
	}
	if a, err := get(t, f, time.Now, "registry.example.com"); err != nil || a.Username != "robot$ci" || a.Secret != "s" {
		t.Fatalf("%+v, %v", a, err)
	}
	out, err := helper(t, f, time.Now, "list", "")
	var names map[string]string
	if err != nil || json.Unmarshal([]byte(out), &names) != nil || !maps.Equal(names, map[string]string{"registry.example.com": "robot$ci"}) {
		t.Fatalf("%s, %v", out, err)
	}
	if _, err := helper(t, f, time.Now, "erase", "registry.example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := helper(t, f, time.Now, "erase", "registry.example.com"); err == nil {
		t.Fatal("what is not there was erased")
	}
	if _, err := helper(t, f, time.Now, "frobnicate", ""); err == nil {
		t.Fatal("an unknown action")
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	f := newFile(t)
	if err := f.Put("a", credential.Entry{Username: "u", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{f.Path(): 0o600, filepath.Dir(f.Path()): 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.WriteFile(f.Path(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Put("b", credential.Entry{}); err == nil {
		t.Fatal("a broken file was overwritten")
	}
}

func TestManyProcessesKeepEachOthersEntries(t *testing.T) {
	f := newFile(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := f.Put(fmt.Sprintf("r%d", i), credential.Entry{Username: "u"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if names, err := f.List(); err != nil || len(names) != 20 {
		t.Fatalf("%d are left, %v", len(names), err)
	}
	if err := f.Delete("nowhere"); !errors.Is(err, credential.ErrNone) {
		t.Fatal(err)
	}
}

func TestDockersConfigurationKeepsTheRest(t *testing.T) {
	cases := []struct{ sentence, before, after string }{
		{"no file", "", `{"credHelpers":{"r:5000":"bondgate"}}`},
		{"other settings", `{"auths":{"x":{"auth":"eA=="}},"credsStore":"pass","psFormat":"a<b"}`,
			`{"auths":{"x":{"auth":"eA=="}},"credHelpers":{"r:5000":"bondgate"},"credsStore":"pass","psFormat":"a<b"}`},
		{"other helpers", `{"credHelpers":{"gcr.io":"gcloud","r:5000":"old"}}`, `{"credHelpers":{"gcr.io":"gcloud","r:5000":"bondgate"}}`},
		{"null", `{"credHelpers":null}`, `{"credHelpers":{"r:5000":"bondgate"}}`},
		{"no JSON", `{`, ""},
		{"helpers of another shape", `{"credHelpers":[]}`, ""},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "docker")
			file := filepath.Join(dir, "config.json")
			if tc.before != "" {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tc.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := credential.UseHelper(dir, "r:5000")
			raw, _ := os.ReadFile(file)
			if tc.after == "" {
				if err == nil || string(raw) != tc.before {
					t.Fatalf("%s, %v", raw, err)
				}
				return
			}
			var got, want any
			if err != nil || json.Unmarshal(raw, &got) != nil || json.Unmarshal([]byte(tc.after), &want) != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s, %v", raw, err)
			}
		})
	}
}

func FuzzRegistry(f *testing.F) {
	for _, s := range []string{"", "localhost:5000", "https://index.docker.io/v1/", "http://", "A/b", "https://http://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := credential.Registry(s)
		if strings.Contains(once, "/") || (!strings.HasPrefix(once, "http") && credential.Registry(once) != once) {
			t.Fatalf("%q is %q", s, once)
		}
	})
}
