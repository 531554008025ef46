package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"
)

const (
	// HelperName is what docker calls the helper in its configuration, and
	// HelperProgram the program that it starts.
	HelperName    = "bondgate"
	HelperProgram = "docker-credential-" + HelperName

	// young is how old an ID token may be that is handed out: a client uses it for as
	// long as its command runs, and the gateway takes none that is older than ten
	// minutes.
	young = 3 * time.Minute
	// spare is how long an ID token must still hold.
	spare = time.Minute
)

// Helper answers docker and those who speak its protocol.
type Helper struct {
	File   *File
	Client *http.Client
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Serve answers one request: action is get, store, erase, list or version.
func (h Helper) Serve(ctx context.Context, action string, in io.Reader, out io.Writer) error {
	if h.Now == nil {
		h.Now = time.Now
	}
	return credentials.HandleCommand(protocol{h: h, ctx: ctx}, action, in, out)
}

// protocol is one request. Its methods are docker's, and have no place for a context.
type protocol struct {
	h   Helper
	ctx context.Context
}

var _ credentials.Helper = protocol{}

// Add keeps what `docker login` was given.
func (p protocol) Add(c *credentials.Credentials) error {
	return p.h.File.Put(c.ServerURL, Entry{Username: c.Username, Secret: c.Secret})
}

// Delete forgets a registry, and at its provider too.
func (p protocol) Delete(registry string) error {
	err := Logout(p.ctx, p.h.File, p.h.Client, registry)
	if errors.Is(err, ErrNone) {
		return credentials.NewErrCredentialsNotFound()
	}
	return err
}

// Get answers a name and a secret that the registry takes now.
func (p protocol) Get(registry string) (name, secret string, err error) {
	e, err := p.h.fresh(p.ctx, registry)
	switch {
	case errors.Is(err, ErrNone):
		return "", "", credentials.NewErrCredentialsNotFound()
	case errors.Is(err, errOver):
		return "", "", fmt.Errorf("the login at %s is over: run bondgate login %s", Registry(registry), Registry(registry))
	case err != nil:
		return "", "", err
	case e.Login != nil:
		return e.Username, e.Login.IDToken, nil
	}
	return e.Username, e.Secret, nil
}

// Credential is the name and the secret that a registry takes now, renewed if that
// is due.
func (h Helper) Credential(ctx context.Context, registry string) (name, secret string, err error) {
	return protocol{h: h, ctx: ctx}.Get(registry)
}

// List answers the name at each registry.
func (p protocol) List() (map[string]string, error) { return p.h.File.List() }

// fresh is the entry of a registry, its ID token renewed if that is due.
func (h Helper) fresh(ctx context.Context, registry string) (Entry, error) {
	return h.File.Get(registry, func(e *Entry) error {
		if e.Login == nil || h.holds(e.Login, young) {
			return nil
		}
		err := e.Login.renew(ctx, h.Client)
		if err != nil && !errors.Is(err, errOver) && h.holds(e.Login, 2*young) {
			return nil // the provider is away, and what there is will do once more
		}
		return err
	})
}

// holds reports whether the ID token is no older than age and holds a while longer.
func (h Helper) holds(l *Login, age time.Duration) bool {
	now := h.Now()
	return l.IDToken != "" && now.Before(l.Issued.Add(age)) && now.Add(spare).Before(l.Expires)
}

// Logout forgets a registry. The provider is told too; that it cannot be reached
// keeps nobody logged in here.
func Logout(ctx context.Context, f *File, client *http.Client, registry string) error {
	e, err := f.Get(registry, nil)
	if err != nil {
		return err
	}
	if err := f.Delete(registry); err != nil {
		return err
	}
	if e.Login == nil {
		return nil
	}
	if err := e.Login.revoke(ctx, client); err != nil {
		return fmt.Errorf("you are logged out here; the provider %s could not be told: %w", e.Login.Issuer, err)
	}
	return nil
}
