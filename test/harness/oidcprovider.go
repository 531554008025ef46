package harness

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The gateway's clients at every [OIDCProvider].
const (
	OIDCClient = "bondgate"
	OIDCSecret = "a-secret-of-the-test"
	// OIDCCLI is the public client of the command line, which may use the device flow.
	OIDCCLI = "bondgate-cli"
)

// OIDCOptions say how a provider of a test is set up.
type OIDCOptions struct {
	// Redirects are the addresses that people may be sent back to.
	Redirects []string
	// UserInfoOnly leaves all claims but sub out of ID tokens.
	UserInfoOnly bool
	// IDTokenLife is how long ID tokens hold, in seconds; an hour when zero.
	IDTokenLife int
}

// OIDCProvider is an OpenID provider: npm oidc-provider, on a loopback port. Its
// login page takes any password.
type OIDCProvider struct {
	Issuer string

	t       testing.TB
	file    string
	script  string
	setup   map[string]any
	people  map[string]map[string]any
	process *Process
}

// StartOIDCProvider starts a provider that knows nobody yet.
func StartOIDCProvider(t testing.TB, o OIDCOptions) *OIDCProvider {
	t.Helper()
	dir := nodeDir(t, "provider.mjs")
	port := FreePort(t)
	p := &OIDCProvider{
		Issuer: "http://127.0.0.1:" + strconv.Itoa(port), t: t,
		file: filepath.Join(dir, "setup.json"), script: filepath.Join(dir, "provider.mjs"),
		people: map[string]map[string]any{},
	}
	p.setup = map[string]any{
		"issuer": p.Issuer, "port": port, "people": p.people, "userInfoOnly": o.UserInfoOnly, "idTokenLife": o.IDTokenLife,
		"clients": []map[string]any{
			{
				"client_id": OIDCClient, "client_secret": OIDCSecret, "redirect_uris": o.Redirects,
				"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
			},
			{
				"client_id": OIDCCLI, "token_endpoint_auth_method": "none", "application_type": "native",
				"grant_types":   []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"},
				"redirect_uris": []string{}, "response_types": []string{},
			},
		},
	}
	p.write()
	p.Start()
	return p
}

// Start starts the provider, again after Stop: with the same people and clients,
// and without a memory of logins.
func (p *OIDCProvider) Start() {
	p.t.Helper()
	cmd := exec.Command(Find(p.t, "node"), p.script, p.file)
	cmd.Dir = filepath.Dir(p.script)
	p.process = start(p.t, "oidc-provider", cmd)
	p.process.ready(p.t, func() error {
		resp, err := http.Get(p.Issuer + "/.well-known/openid-configuration")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("discovery: %s", resp.Status)
		}
		return nil
	})
}

// Stop ends the provider, as an outage does.
func (p *OIDCProvider) Stop() { p.process.stop() }

// SetPerson makes a person, or changes what the provider says of one.
func (p *OIDCProvider) SetPerson(sub string, claims map[string]any) {
	p.t.Helper()
	p.people[sub] = claims
	p.write()
}

// RemovePerson takes a person out of the provider.
func (p *OIDCProvider) RemovePerson(sub string) {
	p.t.Helper()
	delete(p.people, sub)
	p.write()
}

// write replaces the file in one step: the provider reads it at any time.
func (p *OIDCProvider) write() {
	p.t.Helper()
	raw, err := json.Marshal(p.setup)
	if err != nil {
		p.t.Fatal(err)
	}
	next := p.file + ".next"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(next, p.file); err != nil {
		p.t.Fatal(err)
	}
}

// Browser runs one of the scripts in test/e2e/oidc, which drive Chromium, with
// arguments, and answers what it printed.
func Browser(t testing.TB, script string, args ...string) Result {
	t.Helper()
	dir := nodeDir(t, script)
	env := []string{"CHROMIUM=" + Find(t, "chromium"), "HOME=" + dir}
	return Run(t, env, "", Find(t, "node"), append([]string{filepath.Join(dir, script)}, args...)...)
}

// nodeDir makes a folder in which node finds a script of test/e2e/oidc and the
// packages that it imports.
func nodeDir(t testing.TB, script string) string {
	t.Helper()
	modules := filepath.Join(Root(), ".cache", "node", "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "oidc-provider")); err != nil {
		Missing(t, "the node packages of test/e2e/oidc are not there")
	}
	dir := t.TempDir()
	source, err := os.ReadFile(filepath.Join(Root(), "test", "e2e", "oidc", script))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, script), source, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}
