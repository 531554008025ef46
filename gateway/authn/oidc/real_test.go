package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/bondgate/bondgate/gateway/authn/oidc"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func alice() map[string]any {
	return map[string]any{
		"preferred_username": "alice", "name": "Alice <b>A.</b>", "email": "alice@corp.example", "email_verified": true,
		"groups": []string{"dev", "ops"},
	}
}

// The whole way of a person, at a real provider.
func TestAPersonLogsInWithABrowser(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	w.open(corp(provider))

	v := harness.NewVisitor(t)
	if page := v.Get(w.url + "/login"); !strings.Contains(page.Body, `href="/login/corp"`) || strings.Contains(page.Body, "<SSO>") {
		t.Fatalf("the providers' page: %s", page.Body)
	}
	page := v.Get(w.url + "/login/corp?return=/whoami").LogIn("a-1")
	if want := provider.Issuer + "|a-1|alice|dev,ops"; page.URL.String() != w.url+"/whoami" || page.Body != want {
		t.Fatalf("%s: %s", page.URL, page.Body)
	}
	if got := w.people.profiles; len(got) != 1 || got[0].Email != "alice@corp.example" || got[0].RealName != "Alice <b>A.</b>" {
		t.Fatalf("enrolled %+v", got)
	}
	for _, c := range v.Cookies(w.url) {
		if c.Name == "bondgate-login" {
			t.Fatal("the login's cookie is still there")
		}
		if strings.Contains(w.log.String(), c.Value) {
			t.Fatal("the log has the cookie")
		}
	}

	page = v.Get(w.url + "/login")
	if !strings.Contains(page.Body, `id="subject">a-1<`) || strings.Contains(page.Body, "<script") {
		t.Fatalf("the page of who is logged in: %s", page.Body)
	}
	page = page.Submit(nil)
	if page.URL.Path != "/login" || !strings.Contains(page.Body, "/login/corp") || w.rows.count() != 0 {
		t.Fatalf("after the logout: %d sessions, %s", w.rows.count(), page.Body)
	}
	if page = v.Get(w.url + "/whoami"); page.Body != "|||" {
		t.Fatalf("after the logout: %s", page.Body)
	}
}

func TestAnAnswerOfTheProviderCountsOnceAndInItsBrowser(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	w.open(corp(provider))
	caught := func(v *harness.Visitor) string {
		v.Stop = func(u *url.URL) bool { return strings.HasSuffix(u.Path, "/callback") }
		page := v.Get(w.url + "/login/corp").LogIn("a-1")
		return page.Header.Get("Location")
	}

	victim, attacker := harness.NewVisitor(t), harness.NewVisitor(t)
	answer := caught(attacker)
	if page := victim.Get(answer); page.Status != http.StatusBadRequest || w.rows.count() != 0 {
		t.Fatalf("somebody else's answer logged the victim in: %d %s", page.Status, page.Body)
	}
	kept := attacker.Cookies(w.url)
	if page := attacker.Get(answer); page.Status != http.StatusOK || w.rows.count() != 1 {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	req, err := http.NewRequest(http.MethodGet, answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range kept {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || w.rows.count() != 1 {
		t.Fatalf("an answer counted twice: %s", resp.Status)
	}
	for _, part := range strings.Split(answer[strings.Index(answer, "?")+1:], "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != "iss" && strings.Contains(w.log.String(), value) {
			t.Fatalf("the log has the answer's %s", name)
		}
	}
}

// Removal at the provider takes effect within the configured refresh time.
func TestWhatChangesAtTheProviderChangesHere(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	w.open(corp(provider))
	v := harness.NewVisitor(t)
	v.Get(w.url + "/login/corp").LogIn("a-1")

	changed := alice()
	changed["groups"] = "ops" // a string, as some say it of one group
	provider.SetPerson("a-1", changed)
	if page := v.Get(w.url + "/whoami"); !strings.HasSuffix(page.Body, "|dev,ops") {
		t.Fatalf("within the refresh time: %s", page.Body)
	}
	for range 2 { // the second time with the token of the first
		w.pass(oidc.DefaultRefresh)
		if page := v.Get(w.url + "/whoami"); !strings.HasSuffix(page.Body, "|alice|ops") {
			t.Fatalf("after the refresh time: %s", page.Body)
		}
	}
	provider.RemovePerson("a-1")
	w.pass(oidc.DefaultRefresh)
	if page := v.Get(w.url + "/whoami"); page.Status != http.StatusUnauthorized || w.rows.count() != 0 {
		t.Fatalf("after the removal: %d %s", page.Status, page.Body)
	}
	if page := v.Get(w.url + "/login"); page.Status != http.StatusOK || !strings.Contains(page.Body, "/login/corp") {
		t.Fatalf("the login's page: %d %s", page.Status, page.Body)
	}
}

func TestADisabledPersonIsRefused(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	w.open(corp(provider))
	v := harness.NewVisitor(t)
	v.Get(w.url + "/login/corp").LogIn("a-1")
	w.people.disable("a-1")
	w.pass(oidc.DefaultRefresh)
	if page := v.Get(w.url + "/whoami"); page.Status != http.StatusUnauthorized {
		t.Fatalf("the session: %d %s", page.Status, page.Body)
	}
	if page := v.Get(w.url + "/login/corp").LogIn("a-1"); page.Status != http.StatusForbidden || w.rows.count() != 0 {
		t.Fatalf("a new login: %d %s", page.Status, page.Body)
	}
}

func TestAProviderThatIsAway(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	other := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("other")}})
	other.SetPerson("a-1", map[string]any{"preferred_username": "somebody"})
	second := corp(other)
	second.Name = "other"
	provider.Stop()
	w.open(corp(provider), second) // the gateway starts all the same

	v := harness.NewVisitor(t)
	page := v.Get(w.url + "/login/corp")
	if page.Status != http.StatusServiceUnavailable || !strings.Contains(page.Body, "Corp &lt;SSO&gt; cannot be reached") {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	if page := v.Get(w.url + "/login/other?return=/whoami").LogIn("a-1"); page.Body != other.Issuer+"|a-1|somebody|" {
		t.Fatalf("the other provider's people: %s", page.Body)
	}
	provider.Start()
	w.mu.Lock()
	w.moved = 6 * time.Second // a little patience, and the provider is tried again
	w.mu.Unlock()
	page = v.Get(w.url + "/login/corp?return=/whoami").LogIn("a-1")
	if page.Body != provider.Issuer+"|a-1|alice|dev,ops" {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	// One subject of two issuers is two people.
	if got := w.people.seen; len(got) != 2 || got[0].ID != got[1].ID || got[0].Issuer == got[1].Issuer {
		t.Fatalf("enrolled %+v", got)
	}

	provider.Stop()
	w.pass(oidc.DefaultRefresh + oidc.DefaultGrace - time.Minute)
	if page := v.Get(w.url + "/whoami"); page.Body != provider.Issuer+"|a-1|alice|dev,ops" {
		t.Fatalf("within the grace: %d %s", page.Status, page.Body)
	}
	w.pass(2 * time.Minute)
	if page := v.Get(w.url + "/whoami"); page.Status != http.StatusUnauthorized {
		t.Fatalf("after the grace: %d %s", page.Status, page.Body)
	}
}

func TestGroupsThatOnlyUserinfoHas(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}, UserInfoOnly: true})
	person := alice()
	delete(person, "groups")
	person["resource_access"] = map[string]any{"bondgate": map[string]any{"roles": []string{"pusher"}}}
	provider.SetPerson("a-1", person)
	cfg := corp(provider)
	cfg.UserInfo, cfg.GroupsClaim = true, "resource_access.bondgate.roles"
	w.open(cfg)
	v := harness.NewVisitor(t)
	page := v.Get(w.url + "/login/corp?return=/whoami").LogIn("a-1")
	if page.Body != provider.Issuer+"|a-1|alice|pusher" {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	w.pass(oidc.DefaultRefresh)
	if page := v.Get(w.url + "/whoami"); page.Body != provider.Issuer+"|a-1|alice|pusher" {
		t.Fatalf("renewed: %d %s", page.Status, page.Body)
	}
	// An ID token alone cannot tell, which is not the same as none.
	if p, err := w.ps.Exchange(t.Context(), "default", oidc.TokenType, idToken(t, provider)); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestAnIDTokenIsACredential(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	provider.SetPerson("a-1", alice())
	w.open(corp(provider))
	raw := idToken(t, provider)
	p, err := w.ps.Exchange(t.Context(), "default", oidc.TokenType, raw)
	if err != nil || p.Issuer != provider.Issuer || p.ID != "a-1" || p.Name != "alice" || len(p.Groups) != 2 || p.Auth != policy.AuthOIDC {
		t.Fatalf("%+v, %v", p, err)
	}
	if left := time.Until(p.Until); left <= 0 || left > oidc.DefaultRefresh {
		t.Fatalf("it holds for %s", left)
	}
	if p, err = w.ps.Authenticate(t.Context(), "default", "anything", raw); err != nil || p.ID != "a-1" {
		t.Fatalf("as a password: %+v, %v", p, err)
	}
	cases := []struct {
		sentence, workspace, kind, raw string
		err                            error
	}{
		{"another workspace has other providers", "other", oidc.TokenType, raw, policy.ErrNotFound},
		{"another type of token", "default", "urn:ietf:params:oauth:token-type:jwt", raw, policy.ErrNotFound},
		{"a password", "default", oidc.TokenType, "correct-Horse-7-battery", policy.ErrNotFound},
		{"a token without its signature", "default", oidc.TokenType, raw[:strings.LastIndex(raw, ".")+1], policy.ErrUnauthenticated},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			if p, err := w.ps.Exchange(t.Context(), tc.workspace, tc.kind, tc.raw); !errors.Is(err, tc.err) || !p.Anonymous() {
				t.Fatalf("%+v, %v", p, err)
			}
		})
	}
	w.mu.Lock()
	w.moved = oidc.DefaultTokenAge + time.Minute
	w.mu.Unlock()
	if p, err := w.ps.Exchange(t.Context(), "default", oidc.TokenType, raw); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("an old token: %+v, %v", p, err)
	}
	w.people.disable("a-1")
	if p, err := w.ps.Exchange(t.Context(), "default", oidc.TokenType, idToken(t, provider)); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("disabled: %+v, %v", p, err)
	}
}

func TestWellKnownTellsWhereToLogInAndNoSecret(t *testing.T) {
	w := newWorld(t)
	provider := harness.StartOIDCProvider(t, harness.OIDCOptions{Redirects: []string{w.callback("corp")}})
	browserOnly := corp(provider)
	browserOnly.Name, browserOnly.Issuer, browserOnly.CLIClientID = "browser", "https://id.example.com", ""
	elsewhere := corp(provider)
	elsewhere.Workspace = "other"
	w.open(corp(provider), browserOnly, elsewhere)
	page := harness.NewVisitor(t).Get(w.url + oidc.WellKnownPath)
	var got oidc.Description
	if err := json.Unmarshal([]byte(page.Body), &got); err != nil {
		t.Fatal(err, page.Body)
	}
	if got.TokenEndpoint != "/token" || len(got.Providers) != 1 || got.Providers[0].ClientID != harness.OIDCCLI ||
		got.Providers[0].Issuer != provider.Issuer || strings.Contains(page.Body, harness.OIDCSecret) {
		t.Fatal(page.Body)
	}
}

// idToken gets an ID token for the command line's client by the device flow, as
// the person a-1.
func idToken(t *testing.T, provider *harness.OIDCProvider) string {
	t.Helper()
	client := &oauth2.Config{
		ClientID: harness.OIDCCLI, Scopes: []string{"openid", "profile", "offline_access"},
		Endpoint: oauth2.Endpoint{
			DeviceAuthURL: provider.Issuer + "/device/auth", TokenURL: provider.Issuer + "/token", AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	device, err := client.DeviceAuth(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if page := harness.NewVisitor(t).Get(device.VerificationURIComplete).LogIn("a-1"); !strings.Contains(page.Body, "Done") {
		t.Fatalf("the device was not let in: %s", page.Body)
	}
	device.Interval = 1
	token, err := client.DeviceAccessToken(ctx, device)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	return raw
}
