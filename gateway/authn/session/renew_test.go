package session_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/policy"
)

func TestTheProviderIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	w.now = w.now.Add(14 * time.Minute)
	if _, err := w.caller(c); err != nil || len(w.provider.tokens) != 0 {
		t.Fatalf("asked %v within the refresh time, %v", w.provider.tokens, err)
	}
	w.provider.groups = []string{"ops"}
	w.now = w.now.Add(time.Minute)
	p, err := w.caller(c)
	if err != nil || !slices.Equal(p.Groups, []string{"ops"}) {
		t.Fatalf("%+v, %v", p, err)
	}
	w.now = w.now.Add(15 * time.Minute)
	if _, err := w.caller(c); err != nil || !slices.Equal(w.provider.tokens, []string{"r", "r+"}) {
		t.Fatalf("the token of the last answer is not used: %v, %v", w.provider.tokens, err)
	}
}

func TestWhatEndsASessionAtItsRenewal(t *testing.T) {
	cases := []struct {
		sentence string
		token    string
		change   func(*world)
		err      error
	}{
		{"the provider refuses", "r", func(w *world) { w.provider.err = policy.ErrUnauthenticated }, policy.ErrUnauthenticated},
		{"the provider gave no refresh token", "", func(*world) {}, policy.ErrUnauthenticated},
		{"the provider is not configured any longer", "r", func(w *world) { w.provider.gone = true }, policy.ErrUnauthenticated},
		{"the provider answers for somebody else", "r", func(w *world) { w.provider.as = "b2" }, policy.ErrUnauthenticated},
		{"the provider has been away for longer than the grace", "r", func(w *world) {
			w.provider.err = policy.ErrUnavailable
			w.now = w.now.Add(30 * time.Minute)
		}, policy.ErrUnauthenticated},
		{"an error of no class is an outage too", "r", func(w *world) {
			w.provider.err = errors.New("broken")
			w.now = w.now.Add(30 * time.Minute)
		}, policy.ErrUnauthenticated},
	}
	for _, tc := range cases {
		t.Run(tc.sentence, func(t *testing.T) {
			w := newWorld(t)
			c := w.login(tc.token)
			w.now = w.now.Add(15 * time.Minute)
			tc.change(w)
			if p, err := w.caller(c); !errors.Is(err, tc.err) || !p.Anonymous() {
				t.Fatalf("%+v, %v", p, err)
			}
			w.provider.err, w.provider.gone, w.provider.as = nil, false, ""
			if p, err := w.caller(c); !errors.Is(err, policy.ErrUnauthenticated) {
				t.Fatalf("it came back: %+v, %v", p, err)
			}
			if n := len(w.rows.list()); n != 0 {
				t.Fatalf("%d rows are left", n)
			}
		})
	}
}

func TestASessionGoesOnWhileTheProviderIsAway(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	w.provider.err = policy.ErrUnavailable
	for range 29 {
		w.now = w.now.Add(time.Minute)
		if _, err := w.caller(c); err != nil {
			t.Fatal(err)
		}
	}
	asked := len(w.provider.tokens)
	if asked == 0 {
		t.Fatal("the provider was never asked")
	}
	if _, err := w.caller(c); err != nil || len(w.provider.tokens) != asked {
		t.Fatalf("asked again at once: %v", err)
	}
	w.provider.err = nil
	w.now = w.now.Add(time.Minute)
	if _, err := w.caller(c); err != nil || len(w.provider.tokens) != asked+1 {
		t.Fatalf("it did not come back: %v", err)
	}
	w.now = w.now.Add(14 * time.Minute)
	if _, err := w.caller(c); err != nil || len(w.provider.tokens) != asked+1 {
		t.Fatalf("the answer does not hold: %v", err)
	}
}

// A provider that finds a refresh token used twice takes it for stolen.
func TestATokenIsSpentOnceByManyRequestsAndReplicas(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	w.now = w.now.Add(20 * time.Minute)
	known, err := session.NewSite(map[string]string{"default": site})
	if err != nil {
		t.Fatal(err)
	}
	other, err := session.New(session.Config{
		Store: w.rows, Provider: w.provider, Site: known, Key: bytes.Repeat([]byte{7}, session.KeySize),
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			replica := w.Sessions
			if i%2 == 1 {
				replica = other
			}
			if _, err := replica.Caller(t.Context(), "default", request("GET", c)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(w.provider.tokens) != 1 {
		t.Fatalf("the provider was asked with %v", w.provider.tokens)
	}
}

func TestASessionOfAnotherKeyEnds(t *testing.T) {
	w := newWorld(t)
	c := w.login("r")
	known, err := session.NewSite(map[string]string{"default": site})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := session.New(session.Config{
		Store: w.rows, Provider: w.provider, Site: known, Key: bytes.Repeat([]byte{8}, session.KeySize),
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(20 * time.Minute)
	if _, err := rotated.Caller(t.Context(), "default", request("GET", c)); !errors.Is(err, policy.ErrUnauthenticated) {
		t.Fatal(err)
	}
}

func TestASealOpensInItsPlaceAlone(t *testing.T) {
	key := bytes.Repeat([]byte{1}, session.KeySize)
	seal := func(purpose string) *session.Sealer {
		s, err := session.NewSealer(key, purpose)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sealed, err := seal("one").Seal("secret", "here")
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal("one").Seal("secret", "here")
	if err != nil || bytes.Equal(sealed, again) {
		t.Fatal("two seals are alike")
	}
	var got string
	if err := seal("one").Open(sealed, "here", &got); err != nil || got != "secret" {
		t.Fatal(got, err)
	}
	for sentence, open := range map[string]func() error{
		"another place":   func() error { return seal("one").Open(sealed, "there", &got) },
		"another purpose": func() error { return seal("two").Open(sealed, "here", &got) },
		"a changed byte":  func() error { sealed[len(sealed)-1] ^= 1; return seal("one").Open(sealed, "here", &got) },
		"nothing":         func() error { return seal("one").Open(nil, "here", &got) },
	} {
		if err := open(); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}
