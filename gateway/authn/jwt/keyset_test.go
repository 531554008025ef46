package jwt_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

const audience = "https://registry.acme.test"

// clock runs with the real one, from which tokens have their times, and can be put
// forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func newKeys(t testing.TB, i *harness.Issuer, c *clock, change ...func(*jwt.KeysConfig)) *jwt.KeySet {
	t.Helper()
	cfg := jwt.KeysConfig{
		Issuer: i.URL, Client: i.Client(), PlainHTTP: true, Now: c.now, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	k, err := jwt.NewKeySet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newVerifier(t testing.TB, k *jwt.KeySet, rules jwt.Rules) *jwt.Verifier {
	t.Helper()
	if rules.Audience == "" {
		rules.Audience = audience
	}
	v, err := jwt.NewVerifier(k, rules)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// long are claims of a token that holds for a day, for tests that move the clock.
func long(i *harness.Issuer) map[string]any {
	return i.Claims(audience, map[string]any{"exp": time.Now().Add(100 * time.Hour).Unix()})
}

func TestKeysAreFoundByDiscoveryAtAnAddressAndInAFile(t *testing.T) {
	i := harness.StartIssuer(t)
	file := filepath.Join(t.TempDir(), "keys.json")
	raw, err := json.Marshal(map[string]any{"keys": []any{i.Key().JWK()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*jwt.KeysConfig){
		"by discovery":  func(*jwt.KeysConfig) {},
		"at an address": func(c *jwt.KeysConfig) { c.JWKSURL = i.KeysURL() },
		"in a file":     func(c *jwt.KeysConfig) { c.File, c.Client = file, nil },
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, newKeys(t, i, &clock{}, change), jwt.Rules{})
			got, err := v.Verify(t.Context(), i.Sign(i.Claims(audience, map[string]any{"sub": "repo:acme/api"})))
			if err != nil || got.Subject != "repo:acme/api" || got.Issuer != i.URL || got.Text("sub") != got.Subject {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
}

func TestKeysRotate(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	v := newVerifier(t, newKeys(t, i, c), jwt.Rules{})
	old := i.Sign(long(i))
	first, err := v.Verify(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	i.Rotate("RS256")
	c.advance(jwt.DefaultAgain)
	second, err := v.Verify(t.Context(), i.Sign(long(i)))
	if err != nil {
		t.Fatalf("a new key, which an unknown id shows: %v", err)
	}
	if second.Revision == first.Revision {
		t.Fatal("the keys changed and the revision did not")
	}
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatalf("the old key is still published: %v", err)
	}
	i.Drop()
	c.advance(jwt.DefaultHold)
	if _, err := v.Verify(t.Context(), old); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatalf("the old key was withdrawn: %v", err)
	}
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); err != nil {
		t.Fatal(err)
	}
}

func TestAnIssuerSaysHowLongItsKeysHoldWithinLimits(t *testing.T) {
	for _, c := range []struct {
		name, control string
		holds, gone   time.Duration
	}{
		{"what it says counts", "public, max-age=600", 9 * time.Minute, 11 * time.Minute},
		{"no less than a minute", "max-age=0", 50 * time.Second, 70 * time.Second},
		{"no more than six hours", "max-age=31536000", 5 * time.Hour, 7 * time.Hour},
		{"an hour when it does not say", "no-transform", 50 * time.Minute, 70 * time.Minute},
		{"an hour when what it says is nothing", "max-age=-1, max-age=x", 50 * time.Minute, 70 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, clock := harness.StartIssuer(t), &clock{}
			i.CacheControl(c.control)
			k := newKeys(t, i, clock)
			for _, step := range []struct {
				ahead time.Duration
				asked int
			}{{0, 1}, {c.holds, 1}, {c.gone - c.holds, 2}} {
				clock.advance(step.ahead)
				if _, err := k.Revision(t.Context()); err != nil {
					t.Fatal(err)
				}
				if i.Asked() != step.asked {
					t.Fatalf("asked %d times after another %s, want %d", i.Asked(), step.ahead, step.asked)
				}
			}
		})
	}
}

func TestAnIssuerThatIsAwayTakesNothingUntilItsKeysAreTooOld(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	k := newKeys(t, i, c)
	v := newVerifier(t, k, jwt.Rules{})
	raw := i.Sign(long(i))
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	i.Down(true)
	for range 10 {
		c.advance(2 * time.Hour)
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Fatalf("%s into the outage: %v", time.Duration(c.ahead.Load()), err)
		}
	}
	c.advance(4*time.Hour + time.Minute)
	for range 2 {
		_, err := v.Verify(t.Context(), raw)
		if !errors.Is(err, policy.ErrUnavailable) || !strings.Contains(err.Error(), i.URL) {
			t.Fatalf("a day into the outage: %v", err)
		}
	}
	if _, err := k.Revision(t.Context()); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("what was remembered goes on: %v", err)
	}
	i.Down(false)
	c.advance(jwt.DefaultAgain)
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Fatalf("it is back: %v", err)
	}
}

func TestNobodyIsKnownBeforeTheKeysAre(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	i.Down(true)
	v := newVerifier(t, newKeys(t, i, c), jwt.Rules{})
	for range 3 {
		if _, err := v.Verify(t.Context(), i.Sign(long(i))); !errors.Is(err, policy.ErrUnavailable) || !strings.Contains(err.Error(), i.URL) {
			t.Fatalf("got %v", err)
		}
	}
	i.Down(false)
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("it was asked a moment ago: %v", err)
	}
	c.advance(jwt.DefaultAgain)
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); err != nil {
		t.Fatal(err)
	}
}

// Whoever makes up key ids must not make us ask for each.
func TestUnknownKeysCauseFewReadings(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	v := newVerifier(t, newKeys(t, i, c), jwt.Rules{})
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(long(i))
	if err != nil {
		t.Fatal(err)
	}
	flood := func() {
		var wg sync.WaitGroup
		for n := range 200 {
			wg.Go(func() {
				raw := harness.SignJWS(t, i.Key().Private, "ES256", `{"alg":"ES256","kid":"made-up-`+string(rune('a'+n%26))+`"}`, payload)
				if _, err := v.Verify(t.Context(), raw); !errors.Is(err, policy.ErrUnauthenticated) {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	}
	flood()
	if i.Asked() != 1 {
		t.Fatalf("the keys were read %d times within ten seconds", i.Asked())
	}
	c.advance(jwt.DefaultAgain)
	flood()
	if i.Asked() != 2 {
		t.Fatalf("the keys were read %d times, want once more", i.Asked())
	}
	// A token that could not do anyhow causes no reading, whatever key it names.
	c.advance(jwt.DefaultAgain)
	expired, err := json.Marshal(i.Claims(audience, map[string]any{"exp": time.Now().Add(-time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()}))
	if err != nil {
		t.Fatal(err)
	}
	raw := harness.SignJWS(t, i.Key().Private, "ES256", `{"alg":"ES256","kid":"other"}`, expired)
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, policy.ErrUnauthenticated) || i.Asked() != 2 {
		t.Fatalf("asked %d times, %v", i.Asked(), err)
	}
}

func TestAnUnknownKeyOfAnIssuerThatIsAwayIsNotKnownEither(t *testing.T) {
	i, c := harness.StartIssuer(t), &clock{}
	v := newVerifier(t, newKeys(t, i, c), jwt.Rules{})
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); err != nil {
		t.Fatal(err)
	}
	i.Rotate("EdDSA")
	i.Down(true)
	c.advance(jwt.DefaultAgain)
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

// One request that goes away takes no other with it.
func TestAReadingOutlivesWhoAskedForIt(t *testing.T) {
	i := harness.StartIssuer(t)
	entered, release := make(chan struct{}), make(chan struct{})
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/keys") {
			close(entered)
			<-release
		}
		return i.Client().Transport.RoundTrip(r)
	})}
	k := newKeys(t, i, &clock{}, func(c *jwt.KeysConfig) { c.Client = client })
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := k.Revision(ctx)
		first <- err
	}()
	<-entered
	cancel()
	if err := <-first; !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	second := make(chan error)
	go func() {
		_, err := k.Revision(t.Context())
		second <- err
	}()
	close(release)
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if i.Asked() != 1 {
		t.Fatalf("the keys were read %d times", i.Asked())
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRunReadsTheKeysBeforeTheyAreWanted(t *testing.T) {
	i := harness.StartIssuer(t)
	k := newKeys(t, i, &clock{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	for i.Asked() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	i.Down(true)
	if _, err := k.Revision(t.Context()); err != nil {
		t.Fatalf("they were not kept: %v", err)
	}
}

func TestDiscoveryThatIsOffGivesNoKeys(t *testing.T) {
	for name, say := range map[string]map[string]any{
		"another issuer":                  {"issuer": "https://evil.example"},
		"the issuer with a slash":         {"issuer": "http://127.0.0.1/"},
		"no issuer":                       {"issuer": nil},
		"no address of keys":              {"jwks_uri": nil},
		"an address of keys that is none": {"jwks_uri": "file:///etc/passwd"},
		"a relative address":              {"jwks_uri": "/keys"},
		"an address with a user":          {"jwks_uri": "https://a:b@evil.example/keys"},
		"an issuer that is not a string":  {"issuer": []string{"x"}},
		"a token endpoint that is none":   {"token_endpoint": "javascript:alert(1)"},
	} {
		t.Run(name, func(t *testing.T) {
			i := harness.StartIssuer(t)
			i.Say(say)
			v := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{})
			if _, err := v.Verify(t.Context(), i.Sign(long(i))); !errors.Is(err, policy.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if i.Asked() != 0 {
				t.Fatal("the keys were asked for nevertheless")
			}
		})
	}
	i := harness.StartIssuer(t)
	if _, err := jwt.Discover(t.Context(), i.Client(), i.URL, false); !errors.Is(err, policy.ErrInvalid) {
		t.Fatalf("plain HTTP: %v", err)
	}
}

func TestAKeySetThatIsOffGivesNoKeys(t *testing.T) {
	i := harness.StartIssuer(t)
	i.Rotate("RS256")
	good := i.Key().JWK()
	with := func(more map[string]any) string {
		k := map[string]any{}
		for name, value := range good {
			k[name] = value
		}
		for name, value := range more {
			if k[name] = value; value == nil {
				delete(k, name)
			}
		}
		raw, err := json.Marshal(map[string]any{"keys": []any{k}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	one, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing":                   ``,
		"not JSON":                  `<html>`,
		"a list":                    `[]`,
		"no keys":                   `{"keys":[]}`,
		"null":                      `{"keys":null}`,
		"the member twice":          `{"keys":[],"keys":[` + string(one) + `]}`,
		"too many keys":             `{"keys":[` + strings.Repeat(`{},`, 100) + string(one) + `]}`,
		"too long":                  strings.Repeat(" ", 512<<10) + with(nil),
		"a secret":                  `{"keys":[{"kty":"oct","kid":"key-2","k":"c2VjcmV0","alg":"HS256"}]}`,
		"for encryption":            with(map[string]any{"use": "enc"}),
		"for signing only":          with(map[string]any{"key_ops": []string{"sign"}}),
		"of another algorithm":      with(map[string]any{"alg": "HS256"}),
		"of an algorithm for EC":    with(map[string]any{"alg": "ES256"}),
		"a private key":             with(map[string]any{"d": "AAAA"}),
		"a small modulus":           with(map[string]any{"n": strings.Repeat("_", 171)}), // 1024 bits
		"an exponent of one":        with(map[string]any{"e": "AQ"}),
		"an even exponent":          with(map[string]any{"e": "AQAA"}),
		"no type":                   with(map[string]any{"kty": nil}),
		"a point off the curve":     `{"keys":[{"kty":"EC","crv":"P-256","kid":"key-2","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`,
		"a key with a member twice": `{"keys":[{"kid":"x",` + string(one)[1:] + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			i.SayKeys([]byte(raw))
			v := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{})
			if _, err := v.Verify(t.Context(), i.Sign(long(i))); !errors.Is(err, policy.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
		})
	}
	i.SayKeys([]byte(with(map[string]any{"use": nil, "alg": nil, "x5c": []string{"not a certificate"}, "x5t": "x"})))
	v := newVerifier(t, newKeys(t, i, &clock{}), jwt.Rules{})
	if _, err := v.Verify(t.Context(), i.Sign(long(i))); err != nil {
		t.Fatalf("a key with no more than it needs, and a certificate that nobody asks: %v", err)
	}
}

func TestNewKeySetChecksItsConfiguration(t *testing.T) {
	client := http.DefaultClient
	for name, cfg := range map[string]jwt.KeysConfig{
		"no issuer":             {Client: client},
		"no client":             {Issuer: "https://i.example"},
		"plain HTTP":            {Issuer: "http://i.example", Client: client},
		"keys by plain HTTP":    {Issuer: "https://i.example", JWKSURL: "http://i.example/keys", Client: client},
		"an address and a file": {Issuer: "https://i.example", JWKSURL: "https://i.example/keys", File: "x", Client: client},
		"keys for ever":         {Issuer: "https://i.example", Client: client, Keep: 365 * 24 * time.Hour},
		"a negative time":       {Issuer: "https://i.example", Client: client, Again: -time.Second},
		"an issuer of a file":   {Issuer: "file:///etc", Client: client},
		"an issuer with a user": {Issuer: "https://a@i.example", Client: client},
	} {
		if _, err := jwt.NewKeySet(cfg); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k, err := jwt.NewKeySet(jwt.KeysConfig{Issuer: "cluster.local", File: filepath.Join(t.TempDir(), "none"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Revision(t.Context()); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatalf("a file that is not there: %v", err)
	}
	if _, err := jwt.NewVerifier(k, jwt.Rules{}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("no audience: %v", err)
	}
	if _, err := jwt.NewVerifier(nil, jwt.Rules{Audience: "x"}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("no keys: %v", err)
	}
}
