package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/oci"
	"github.com/bondgate/bondgate/gateway/token"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/bundle"
	"github.com/bondgate/bondgate/policy/decisionlog"
	"github.com/bondgate/bondgate/storage/metadata"
	"github.com/bondgate/bondgate/storage/registry"
)

// Options are what a server is made of.
type Options struct {
	// Config is complete and valid: [LoadConfig] made it.
	Config Config
	Log    *slog.Logger
	// Out is where a first start shows the password that it made.
	Out io.Writer
	// AdminPassword is the first administrator's; empty to make one.
	AdminPassword string
	Version       string
	// Storage wraps the storage driver; nil. Only tests can set it, to make storage
	// fail: no flag, file or variable reaches it.
	Storage registry.Middleware
}

// App is a server whose parts are joined and which listens already.
type App struct {
	opts    Options
	cfg     Config
	log     *slog.Logger
	started time.Time

	engine *registry.Engine
	store  *metadata.Store
	record *decisionlog.Log
	bundle *bundle.Folder
	shadow *shadowing
	gate   *policy.Gate
	tokens *token.Service
	parts  []gateway.Part
	// metrics is everything that /metrics shows.
	metrics *prometheus.Registry
	// stray says that storage has images that the index does not know.
	stray atomic.Bool

	identity  *identity
	waivers   *waiverWatch
	reindexer *reindexer
	writes    *writeGuard

	server, socket *gateway.Server
	address        net.Addr
	// closers undo what New did, the last one first.
	closers []func(context.Context) error
}

// New joins the parts in the order in which they need each other and begins to
// listen. What is half made when something fails is closed again.
func New(ctx context.Context, opts Options) (app *App, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Out == nil {
		opts.Out = io.Discard
	}
	a := &App{opts: opts, cfg: opts.Config, log: opts.Log, started: time.Now(), writes: &writeGuard{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.WithoutCancel(ctx)))
		}
	}()
	for _, step := range []func(context.Context) error{
		a.openFolder, a.openStorage, a.openPolicy, a.openSinks, a.openIdentity, a.openGateway, a.firstStart,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// openFolder makes the data folder and takes its lock: two servers on one folder
// would each believe that they know everything.
func (a *App) openFolder(context.Context) error {
	if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	release, err := lockDataDir(a.cfg.DataDir)
	if err != nil {
		return err
	}
	a.onClose(func(context.Context) error { release(); return nil })
	return nil
}

func (a *App) openStorage(ctx context.Context) (err error) {
	if root, ok := a.cfg.Storage.Parameters["rootdirectory"].(string); ok && a.cfg.Storage.Driver == "filesystem" {
		// The engine's own folders can be read by others; the way there cannot.
		if err := os.MkdirAll(root, 0o700); err != nil {
			return fmt.Errorf("make the storage folder: %w", err)
		}
	}
	a.engine, err = registry.Open(ctx, registry.Config{
		Driver: driverName(a.cfg.Storage.Driver), Parameters: a.cfg.Storage.Parameters, Middleware: a.opts.Storage,
	})
	if err != nil {
		return fmt.Errorf("open storage: %w", err)
	}
	a.store, err = metadata.Open(ctx, metadata.Config{DSN: a.cfg.Database.DSN, Logger: a.log})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	a.onClose(func(context.Context) error { return a.store.Close() })
	a.reindexer = &reindexer{engine: a.engine, store: a.store, writes: a.writes, log: a.log}
	return nil
}

// driverName is the engine's name for a driver.
func driverName(name string) string {
	if name == "s3" {
		return "s3aws"
	}
	return name
}

// openGateway joins who is asking, the protocol and the management API, all of
// which ask the one gate.
func (a *App) openGateway(ctx context.Context) error {
	var err error
	a.tokens, err = token.Open(ctx, token.Config{
		Keys: tokenKeys{a.store}, Credentials: a.credentials(), Log: a.log,
		TTL: time.Duration(a.cfg.Tokens.TTL), Rotation: time.Duration(a.cfg.Tokens.Rotate),
	})
	if err != nil {
		return fmt.Errorf("open the token service: %w", err)
	}
	logins, err := a.logins()
	if err != nil {
		return err
	}
	rates, err := a.rates()
	if err != nil {
		return err
	}
	who, err := authn.New(authn.Config{Passwords: a.identity.chain, Logins: logins, Tokens: a.tokens})
	if err != nil {
		return err
	}
	endpoint, err := token.NewEndpoint(token.EndpointConfig{
		Service: a.tokens, Authn: who, Gate: a.gate, Auto: a.cfg.Projects.AutoCreate, Scopes: a.cfg.Limits.Scopes,
		Exchange: a.identity.exchangers(),
	})
	if err != nil {
		return err
	}
	images, err := a.protocol(ctx)
	if err != nil {
		return err
	}
	management, err := api.New(api.Config{
		Gate: a.gate, Accounts: accounts{a.store}, Credentials: a.store, Passwords: passwords{},
		Projects: projects{a.store}, Members: members{a.store}, Waivers: a.store, WaiverSources: waiverSources{a.bundle, a.store},
		Decisions: decisions{a.record}, Maintenance: a, Harbor: a.harbor(),
		Shadow: a.shadow, Inventory: a.inventory(), BreakGlass: a.breakglass(),
		Explainer: explainer{bundles: a.bundle, gate: a.gate}, Stage: a.stage(),
	})
	if err != nil {
		return err
	}
	origins, err := a.origins(ctx)
	if err != nil {
		return err
	}
	edge, err := gateway.New(gateway.Config{
		Authn: who, Gate: a.gate, Protocol: images, Token: endpoint, Keys: a.tokens, API: management, Decisions: management.DecisionPage(),
		Parts: a.parts, Metrics: a.metrics, Log: a.log, Workspaces: hosts{a.store}, Origins: origins, Rates: rates,
		Sessions: a.browser(), Login: a.identity.login, Certificates: a.certified(),
		Patience: time.Duration(a.cfg.Limits.BodyTime), Stalled: time.Duration(a.cfg.Limits.WriteIdle),
		BehindTLSProxy: a.cfg.BehindTLSProxy, TrustedProxies: prefixes(a.cfg.TrustedProxies),
	})
	if err != nil {
		return err
	}
	return a.listen(ctx, edge)
}

// protocol is the registry itself.
func (a *App) protocol(ctx context.Context) (gateway.Handler, error) {
	maker, err := api.NewMaker(api.MakerConfig{
		Gate: a.gate, Directory: a.store, Projects: members{a.store}, Auto: a.cfg.Projects.AutoCreate,
	})
	if err != nil {
		return nil, err
	}
	secret, err := ownSecret(ctx, a.store, uploadSecretKind)
	if err != nil {
		return nil, err
	}
	p, err := oci.New(oci.Config{
		Gate: a.gate, Engine: a.engine, Index: a.store, Projects: maker, Secret: secret,
		HeadDenial: a.cfg.HeadDenial, Sparse: a.cfg.Sparse, Log: a.log,
		Limits: oci.Limits{
			Blob: a.cfg.Limits.BlobBytes, ChunkMin: a.cfg.Limits.ChunkBytes,
			Referrers: a.cfg.Limits.Referrers, Bodies: a.cfg.Limits.ManifestCacheBytes,
			Manifest: a.cfg.Limits.ManifestBytes, ManifestTags: a.cfg.Limits.ManifestTags, MaxPage: a.cfg.Limits.Page,
			Uploads: a.cfg.Limits.Uploads, UploadExpiry: time.Duration(a.cfg.Limits.UploadExpiry),
			Idle: time.Duration(a.cfg.Limits.BodyIdle),
		},
	})
	if err != nil {
		return nil, err
	}
	return guarded{protocol: p, guard: a.writes}, nil
}

// revision changes with every change of an account; negative when it cannot be told.
func (a *App) revision() int64 {
	view, err := a.store.View()
	if err != nil {
		return -1
	}
	return view.Revision()
}

func prefixes(all []string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(all))
	for _, s := range all {
		if p, err := parsePrefix(s); err == nil { // validated when it was read
			out = append(out, p)
		}
	}
	return out
}

// host is how people name this server to a client.
func (a *App) host() string {
	if _, host, ok := strings.Cut(a.cfg.ExternalURL, "://"); ok {
		return strings.TrimSuffix(host, "/")
	}
	name, port, err := net.SplitHostPort(a.cfg.Listen)
	if err != nil || port == "0" {
		name, port, err = net.SplitHostPort(a.address.String())
	}
	if err != nil {
		return a.address.String()
	}
	if ip, err := netip.ParseAddr(name); name == "" || err == nil && ip.IsUnspecified() {
		name = "localhost" // every address of the machine, and no client can dial it
	}
	return net.JoinHostPort(name, port)
}

func (a *App) onClose(f func(context.Context) error) { a.closers = append(a.closers, f) }

func (a *App) close(ctx context.Context) error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i](ctx))
	}
	a.closers = nil
	return errors.Join(errs...)
}
