package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bondgate/bondgate/gateway"
	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// purgeEvery is how long it takes at most until an upload that expired is removed.
const purgeEvery = time.Hour

// site is what the servers serve: the network, and the operator's socket.
type site interface {
	http.Handler
	Operator() http.Handler
}

// listen takes the address and the socket. Requests wait until Run answers them.
func (a *App) listen(ctx context.Context, edge site) error {
	cfg := gateway.ServerConfig{
		Address: a.cfg.Listen, Handler: edge, BehindTLSProxy: a.cfg.BehindTLSProxy, Log: a.log,
		Limits: a.connectionLimits(),
	}
	if a.cfg.TLS.CertFile != "" {
		cert, err := loadCertificate(a.cfg.TLS, a.log)
		if err != nil {
			return err
		}
		cfg.TLS = cert.tlsConfig()
		if d := a.identity.domains; d != nil {
			// Most clients have none: whoever has one must be able to prove it.
			cfg.TLS.ClientAuth, cfg.TLS.ClientCAs = tls.VerifyClientCertIfGiven, d.Authorities()
		}
	}
	server, err := gateway.NewServer(cfg)
	if err != nil {
		return err
	}
	if a.address, err = server.Listen(ctx); err != nil {
		return err
	}
	a.server = server
	a.onClose(server.Shutdown)
	l, err := listenSocket(a.cfg.DataDir)
	if err != nil {
		return err
	}
	a.socket = gateway.NewSocketServer(l, edge.Operator(), a.log)
	a.onClose(func(ctx context.Context) error {
		err := a.socket.Shutdown(ctx)
		_ = l.Close() // closed already when it was served; this is for the file
		return err
	})
	return nil
}

// connectionLimits are those of the configuration, as far as the system goes
// along: a pull needs a file for the connection and one for the blob.
func (a *App) connectionLimits() gateway.ConnectionLimits {
	l := a.cfg.Limits
	limits := gateway.ConnectionLimits{
		HeaderTime: time.Duration(l.HeaderTime), HeaderBytes: l.HeaderBytes, Idle: time.Duration(l.Idle),
		Stalled: time.Duration(l.WriteIdle), Connections: l.Connections,
	}
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur/2 < uint64(limits.Connections) {
		limits.Connections = int(files.Cur / 2)
		a.log.Warn("the system lets this process open few files: fewer connections are served at a time",
			"files", files.Cur, "connections", limits.Connections)
	}
	return limits
}

func (a *App) firstStart(ctx context.Context) error {
	return firstStart(ctx, a.store, a.opts.AdminPassword, a.host(), a.opts.Out, a.log)
}

// Run serves until ctx ends or a part fails. Then it takes no more requests,
// waits for those that run, writes the record out and closes everything.
func (a *App) Run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(a.server.Serve)
	group.Go(a.socket.Serve)
	group.Go(func() error { return ended(running, a.tokens.Run(running)) })
	group.Go(func() error { return a.runIdentity(running) })
	group.Go(func() error { a.maintain(running); return nil })
	group.Go(func() error { a.waivers.run(running); return nil })
	a.log.Info("serving", "address", a.address.String(), "data", a.cfg.DataDir,
		"policy", a.bundle.Status().Revision, "version", a.opts.Version, "ready_after", time.Since(a.started).Round(time.Millisecond))
	<-running.Done()
	a.log.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(a.cfg.Limits.DrainTimeout))
	defer cancel()
	stopErr := errors.Join(a.server.Shutdown(drain), a.socket.Shutdown(drain))
	if errors.Is(stopErr, context.DeadlineExceeded) {
		a.log.Warn("requests that still ran were cut off")
		stopErr = nil
	}
	err := group.Wait()
	if ctx.Err() != nil {
		err = ended(ctx, err)
	}
	// The record has its own time: what was decided is to be written.
	closing, cancelClosing := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(a.cfg.Limits.DrainTimeout))
	defer cancelClosing()
	err = errors.Join(err, stopErr, a.close(closing))
	a.log.Info("stopped")
	return err
}

// ended is no error for what ended because it was told to.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// maintain does what must not hold up the start, and what is due from time to
// time. What fails here is told and tried again; requests are served.
func (a *App) maintain(ctx context.Context) {
	tell := func(err error) {
		if err != nil && ctx.Err() == nil {
			a.log.Error("maintenance failed", "error", err)
		}
	}
	for _, repair := range []func(context.Context) error{a.lookForStray, a.finishRemovals, a.repairTagLinks} {
		for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
			err := repair(ctx)
			if tell(err); err == nil {
				break
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
	// Compiling the policy leaves more behind than serving needs.
	debug.FreeOSMemory()
	expiry := time.Duration(a.cfg.Limits.UploadExpiry)
	for {
		n, err := a.engine.PurgeUploads(ctx, time.Now().Add(-expiry))
		tell(err)
		if n > 0 {
			a.log.Info("removed uploads that nobody continued", "uploads", n)
		}
		tell(a.finishRemovals(ctx))
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(purgeEvery, expiry/4)):
		}
	}
}

func (a *App) finishRemovals(ctx context.Context) error {
	return finishRemovals(ctx, a.engine, a.store, a.writes, a.log)
}

func (a *App) repairTagLinks(ctx context.Context) error {
	return repairTagLinks(ctx, a.engine, a.store, a.writes, a.log)
}

// errFound ends a walk that has seen enough.
var errFound = errors.New("found")

// lookForStray finds out whether the database was lost and storage was not.
func (a *App) lookForStray(ctx context.Context) error {
	known, err := a.store.Repositories(ctx, policy.DefaultWorkspace, "", 1)
	if err != nil {
		return fmt.Errorf("look for images that the index does not know: %w", err)
	}
	if len(known) > 0 {
		return nil
	}
	err = a.engine.Walk(ctx, func(_ context.Context, r registry.Repo) error {
		if len(r.Manifests) > 0 {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		// A first push may have come in between.
		known, err = a.store.Repositories(ctx, policy.DefaultWorkspace, "", 1)
		if err == nil && len(known) == 0 {
			a.stray.Store(true)
			a.log.Warn("storage has images that the index does not know: run `bondgate reindex`")
		}
	}
	return err
}

// Status is what `bondgate status` shows.
func (a *App) Status(ctx context.Context) api.Status {
	s := api.Status{
		Version: a.opts.Version, Started: a.started, Listen: a.address.String(), PID: os.Getpid(),
		Revision: a.bundle.Status().Revision, Parts: map[string]string{},
	}
	for _, p := range a.parts {
		s.Parts[p.Name] = "ok"
		if err := p.Check(ctx); err != nil {
			s.Parts[p.Name] = err.Error()
		} else if p.Note != nil && p.Note() != "" {
			s.Parts[p.Name] = "ok, " + p.Note()
		}
	}
	return s
}

// Reindex rebuilds the index from storage.
func (a *App) Reindex(ctx context.Context) (api.ReindexReport, error) {
	report, err := a.reindexer.run(ctx)
	if err == nil {
		a.stray.Store(false)
	}
	return report, err
}
