package workload

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/authn/jwt"
	"github.com/bondgate/bondgate/policy"
)

// DefaultMaxAge is how long ago a token may have been issued.
const DefaultMaxAge = 24 * time.Hour

// defaultRemembered bounds the memory of verified tokens, in bytes: some 1,600 of
// those that CI systems write.
const defaultRemembered = 8 << 20

// Trust is one issuer as one workspace trusts it.
type Trust struct {
	// Name is what people call the issuer, in messages.
	Name string
	// Workspace is where its workloads are known; empty is the default one.
	Workspace string
	// Issuer is the iss of the tokens, letter by letter.
	Issuer string
	// Audience must be among the token's. It is required and should name this
	// registry: a token that was written for somebody else, who may have leaked it,
	// is none for us.
	Audience string
	// JWKSURL and File are where the keys are, for issuers without discovery.
	JWKSURL, File string
	// Client reaches this issuer, where it is another than [Config]'s: one that knows
	// the authority of its certificate.
	Client *http.Client
	// PlainHTTP allows addresses that are not https.
	PlainHTTP bool
	// Claims are those to keep, by name; nil for [DefaultClaims].
	Claims []string
	// MaxAge is how long ago the token may have been issued; default
	// [DefaultMaxAge].
	MaxAge time.Duration
	// Keep is how long the issuer's keys go on while it is away; default
	// [jwt.DefaultKeep].
	Keep time.Duration
}

// Config is what a [Provider] needs; zero values get the default.
type Config struct {
	Issuers []Trust
	// Client reaches issuers; needed unless all have their keys in a file.
	Client *http.Client
	// Remembered bounds the memory of verified tokens in bytes; default 8 MiB.
	Remembered int
	// Now is the clock; nil for time.Now. Log is nil for slog.Default().
	Now func() time.Time
	Log *slog.Logger
}

// Provider knows the workloads of the trusted issuers.
type Provider struct {
	trusted map[place]*trust
	keys    []*jwt.KeySet
	seen    *authn.Verified[known]
	now     func() time.Time
}

var _ authn.Passwords = (*Provider)(nil)

// place is where an issuer is trusted.
type place struct{ workspace, issuer string }

// source is where keys are from: one issuer's are read once, whoever trusts it.
type source struct {
	issuer, url, file string
	client            *http.Client
	plain             bool
	keep              time.Duration
}

// trust is a [Trust], ready to verify.
type trust struct {
	Trust
	verifier *jwt.Verifier
}

// known is what is remembered of a token.
type known struct {
	by        *trust
	principal policy.Principal
}

// New checks cfg and makes a provider. It reaches no issuer.
func New(cfg Config) (*Provider, error) {
	if cfg.Remembered < 0 {
		return nil, fmt.Errorf("authn/workload: a negative memory: %w", policy.ErrInvalid)
	}
	if cfg.Remembered == 0 {
		cfg.Remembered = defaultRemembered
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Provider{trusted: map[place]*trust{}, seen: authn.NewVerified[known](cfg.Remembered), now: cfg.Now}
	sets := map[source]*jwt.KeySet{}
	for i, t := range cfg.Issuers {
		if err := t.complete(); err != nil {
			return nil, fmt.Errorf("authn/workload: issuer %d (%s): %w", i+1, t.Name, err)
		}
		at := place{t.Workspace, t.Issuer}
		if p.trusted[at] != nil {
			return nil, fmt.Errorf("authn/workload: the issuer %s is there twice in the workspace %s: %w", t.Issuer, t.Workspace, policy.ErrInvalid)
		}
		if t.Client == nil {
			t.Client = cfg.Client
		}
		from := source{t.Issuer, t.JWKSURL, t.File, t.Client, t.PlainHTTP, t.Keep}
		keys := sets[from]
		if keys == nil {
			var err error
			if keys, err = jwt.NewKeySet(jwt.KeysConfig{
				Issuer: t.Issuer, JWKSURL: t.JWKSURL, File: t.File, PlainHTTP: t.PlainHTTP, Keep: t.Keep,
				Client: t.Client, Now: cfg.Now, Log: cfg.Log,
			}); err != nil {
				return nil, fmt.Errorf("authn/workload: issuer %d (%s): %w", i+1, t.Name, err)
			}
			sets[from] = keys
			p.keys = append(p.keys, keys)
		}
		verifier, err := jwt.NewVerifier(keys, jwt.Rules{Audience: t.Audience, MaxAge: t.MaxAge, Now: cfg.Now})
		if err != nil {
			return nil, fmt.Errorf("authn/workload: issuer %d (%s): %w", i+1, t.Name, err)
		}
		p.trusted[at] = &trust{Trust: t, verifier: verifier}
	}
	return p, nil
}

func (t *Trust) complete() error {
	if t.Name == "" {
		t.Name = t.Issuer
	}
	if t.Workspace == "" {
		t.Workspace = policy.DefaultWorkspace
	}
	if t.Claims == nil {
		t.Claims = DefaultClaims()
	}
	if t.MaxAge == 0 {
		t.MaxAge = DefaultMaxAge
	}
	if t.MaxAge < 0 {
		return fmt.Errorf("a negative age: %w", policy.ErrInvalid)
	}
	for i, claim := range t.Claims {
		if slices.Contains(t.Claims[:i], claim) {
			return fmt.Errorf("the claim %s is there twice: %w", claim, policy.ErrInvalid)
		}
		if claim == "" || len(claim) > maxClaimName {
			return fmt.Errorf("the name of a claim has 1 to %d bytes: %w", maxClaimName, policy.ErrInvalid)
		}
	}
	return nil
}

// Run keeps the issuers' keys fresh until ctx ends.
func (p *Provider) Run(ctx context.Context) error {
	var g errgroup.Group
	for _, keys := range p.keys {
		g.Go(func() error { return keys.Run(ctx) })
	}
	return g.Wait()
}

// Authenticate answers which workload a password stands for that is a token of a
// trusted issuer, for its audience. The name, which clients want, means nothing:
// anything will do. See [authn.Passwords] for the errors.
func (p *Provider) Authenticate(ctx context.Context, workspace, _, password string) (policy.Principal, error) {
	return p.know(ctx, workspace, password)
}

// Exchange answers which workload a token stands for, in an exchange of RFC 8693.
// Both types of token are taken: GitLab calls its tokens of jobs ID tokens.
func (p *Provider) Exchange(ctx context.Context, workspace, _, raw string) (policy.Principal, error) {
	return p.know(ctx, workspace, raw)
}

func (p *Provider) know(ctx context.Context, workspace, raw string) (policy.Principal, error) {
	issuer, audience, ok := jwt.Claimed(raw)
	if !ok {
		return policy.Principal{}, fmt.Errorf("authn/workload: not a token: %w", policy.ErrNotFound)
	}
	t := p.trusted[place{workspace, issuer}]
	// A token for another audience may be somebody else's: GitLab writes for people
	// and for jobs under one name.
	if t == nil || !slices.Contains(audience, t.Audience) {
		return policy.Principal{}, fmt.Errorf("authn/workload: a token of an issuer, or for an audience, that is not trusted here: %w", policy.ErrNotFound)
	}
	revision, err := t.verifier.Keys().Revision(ctx)
	if err != nil {
		return policy.Principal{}, authn.Away(t.Name, fmt.Errorf("authn/workload: %s: %w", t.Name, err))
	}
	if k, ok := p.seen.Get(raw, revision, p.now()); ok && k.by == t {
		return k.principal, nil
	}
	token, err := t.verifier.Verify(ctx, raw)
	if err != nil {
		return policy.Principal{}, authn.Away(t.Name, fmt.Errorf("authn/workload: %s: %w", t.Name, err))
	}
	who, err := t.principal(token)
	if err != nil {
		return policy.Principal{}, fmt.Errorf("authn/workload: %s: %w", t.Name, err)
	}
	p.seen.Put(raw, known{by: t, principal: who}, token.Revision, who.Until)
	return who, nil
}

// principal is who a verified token stands for. It is shared by whoever comes with
// the token and never changes.
func (t *trust) principal(token jwt.Token) (policy.Principal, error) {
	claims, err := keep(token.Claims, t.Claims)
	if err != nil {
		return policy.Principal{}, fmt.Errorf("%s: %w", err.Error(), policy.ErrUnauthenticated)
	}
	until := token.Expires
	if last := token.IssuedAt.Add(t.MaxAge); last.Before(until) {
		until = last
	}
	return policy.Principal{
		Workspace: t.Workspace, Issuer: token.Issuer, ID: token.Subject, Name: name(token.Claims),
		Kind: policy.KindWorkload, Auth: policy.AuthWorkload, Claims: claims, Until: until,
	}, nil
}
