package oidc

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/bondgate/bondgate/gateway/authn/session"
	"github.com/bondgate/bondgate/policy"
)

const (
	// flowCookie keeps a login that is under way, sealed.
	flowCookie = "bondgate-login"
	// flowLife is how long a person may take at the provider.
	flowLife = 10 * time.Minute
	// maxFlows bounds what is remembered of logins that came back.
	maxFlows = 100_000
	// maxCookie is how long a cookie may be that is opened, in bytes.
	maxCookie = 4 << 10
)

// flow is a login that is under way. It lives in the browser that began it, so the
// answer to it counts in that browser and in no other.
type flow struct {
	Provider string    `json:"p"`
	Return   string    `json:"r"`
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"`
	Expires  time.Time `json:"e"`
}

func newFlow(provider, returnTo string, now time.Time) flow {
	return flow{
		Provider: provider, Return: returnTo, State: rand.Text(), Nonce: rand.Text(),
		Verifier: oauth2.GenerateVerifier(), Expires: now.Add(flowLife),
	}
}

// flows seals logins into cookies and lets each come back once.
type flows struct {
	sealer *session.Sealer
	mu     sync.Mutex
	// now and old are the states that came back, of this life of a flow and of the
	// one before. A replica does not know those of another; there the provider's own
	// rule holds that a code is good once.
	now, old map[string]bool
	turned   time.Time
}

func newFlows(key []byte) (*flows, error) {
	sealer, err := session.NewSealer(key, "login under way")
	if err != nil {
		return nil, err
	}
	return &flows{sealer: sealer, now: map[string]bool{}, old: map[string]bool{}}, nil
}

// keep gives the flow to the browser.
func (fs *flows) keep(w http.ResponseWriter, o session.Origin, workspace string, f flow) error {
	sealed, err := fs.sealer.Seal(f, workspace)
	if err != nil {
		return err
	}
	http.SetCookie(w, session.Cookie(o, flowCookie, base64.RawURLEncoding.EncodeToString(sealed), flowLife))
	return nil
}

// take answers the flow that the browser keeps if the provider's answer with the
// state is one to it, and takes it back.
func (fs *flows) take(w http.ResponseWriter, r *http.Request, o session.Origin, workspace, provider, state string, now time.Time) (flow, error) {
	http.SetCookie(w, session.Cookie(o, flowCookie, "", -1))
	var f flow
	value, err := session.Value(o, flowCookie, r)
	if err != nil {
		return f, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || value == "" || len(value) > maxCookie {
		return f, stale("this browser has begun no login, or too long ago")
	}
	if err := fs.sealer.Open(sealed, workspace, &f); err != nil {
		return flow{}, err
	}
	switch {
	case !now.Before(f.Expires):
		return flow{}, stale("the login took too long")
	case f.Provider != provider:
		return flow{}, stale("another provider answers than was asked")
	case state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(f.State)) != 1:
		return flow{}, stale("the answer belongs to another login")
	case !fs.once(f.State, now):
		return flow{}, stale("the answer has been here before")
	}
	return f, nil
}

// once reports whether the state comes back for the first time.
func (fs *flows) once(state string, now time.Time) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if now.Sub(fs.turned) > flowLife || len(fs.now) >= maxFlows {
		fs.now, fs.old, fs.turned = map[string]bool{}, fs.now, now
	}
	if fs.now[state] || fs.old[state] {
		return false
	}
	fs.now[state] = true
	return true
}

func stale(why string) error {
	return fmt.Errorf("authn/oidc: %s: %w", why, policy.ErrUnauthenticated)
}
