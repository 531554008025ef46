package bundle

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/policy/opa"
)

// FolderConfig says where an author's policy lies.
type FolderConfig struct {
	// Dir is the author's folder; empty for the shipped policy alone.
	Dir string
	// Limits bound the folder; zero fields have defaults.
	Limits opa.Limits
	// Log is told of reloads and of broken edits; silence when nil.
	Log *slog.Logger
	// Forgiving takes a folder that is broken at the start, or not there: there is
	// no policy until it is mended. It is for a policy that nobody depends on.
	Forgiving bool
	// OnReload is told of every change of the status, after it took effect. It is
	// called from one goroutine at a time and must be quick. Optional.
	OnReload func(Status)
	// Poll is how often the folder is looked at besides being watched; 500 ms.
	Poll time.Duration
	// Settle is how long a folder must have been the same before it is read;
	// 40 ms. Editors and deployments write in several steps.
	Settle time.Duration
}

// Status is what is in force, and what is wrong with the folder since.
type Status struct {
	// Revision names the bundle in force; empty when there is none.
	Revision string
	// LoadedAt is when it came into force.
	LoadedAt time.Time
	// Err says why what lies in the folder now is not in force; empty when it is.
	Err string
	// Warnings are what the author of what is in force should look at, a line each.
	Warnings string
}

// statusOf is the status of an evaluator that came into force at a time.
func statusOf(ev *opa.Evaluator, at time.Time) Status {
	return Status{Revision: ev.Revision(), LoadedAt: at, Warnings: strings.Join(ev.Warnings(), "\n")}
}

// Folder is policy from the gateway itself and from a folder. It implements
// [policy.Bundles].
type Folder struct {
	cfg     FolderConfig
	current atomic.Pointer[loaded]
	stop    context.CancelFunc
	done    chan struct{}
	closing sync.Once

	// Of the watching goroutine only.
	seen     string
	rejected string
	// last is how the folder was when it was last looked at in an edit, and since
	// when that edit goes on; zero when there is none.
	last  string
	since time.Time
}

// loaded is one revision in force with the status to tell of it.
type loaded struct {
	evaluator *opa.Evaluator
	status    Status
}

var _ policy.Bundles = (*Folder)(nil)

const (
	defaultPoll   = 500 * time.Millisecond
	defaultSettle = 40 * time.Millisecond
	// maxUnsettled is how long a folder that never rests is waited for: what is
	// there then is read rather than nothing ever again.
	maxUnsettled = 10 * time.Second
	// rereadEvery is every how many polls the contents are read although no size
	// and no date changed.
	rereadEvery = 20
)

// NewFolder compiles the policy and begins to watch the folder. A folder that is
// broken at the start is an error: there is no last good revision to stand on.
// The context bounds the first compilation; [Folder.Close] ends the watching.
func NewFolder(ctx context.Context, cfg FolderConfig) (*Folder, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Settle <= 0 {
		cfg.Settle = defaultSettle
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Folder{cfg: cfg, done: make(chan struct{})}
	if err := f.first(ctx); err != nil {
		if !cfg.Forgiving {
			return nil, err
		}
		f.current.Store(&loaded{status: Status{Err: err.Error()}})
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.stop = stop
	if cfg.Dir == "" {
		close(f.done)
		return f, nil
	}
	go f.watch(watching)
	return f, nil
}

// first reads and compiles the folder as it is at the start.
func (f *Folder) first(ctx context.Context) (err error) {
	if f.cfg.Dir != "" {
		if f.seen, err = fingerprint(f.cfg.Dir); err != nil {
			f.rejected = err.Error()
			return fmt.Errorf("look at the policy folder %s: %w", f.cfg.Dir, err)
		}
	}
	src, err := Load(f.cfg.Dir, f.cfg.Limits)
	if err != nil {
		f.rejected = err.Error()
		return err
	}
	ev, err := opa.Compile(ctx, src)
	if err != nil {
		f.rejected = src.Revision
		return fmt.Errorf("policy at the start: %w", err)
	}
	f.current.Store(&loaded{evaluator: ev, status: statusOf(ev, time.Now())})
	f.warn(ev)
	return nil
}

// Current is the revision in force. It fails while there is none, which a folder
// that is [FolderConfig.Forgiving] can come to.
func (f *Folder) Current() (policy.Evaluator, error) {
	now := f.current.Load()
	if now == nil || now.evaluator == nil {
		return nil, fmt.Errorf("no policy is loaded: %w", policy.ErrUnavailable)
	}
	return now.evaluator, nil
}

// Status tells what is in force and whether the folder holds something else.
func (f *Folder) Status() Status { return f.current.Load().status }

// Close ends the watching; what is in force stays so.
func (f *Folder) Close() error {
	f.closing.Do(f.stop)
	<-f.done
	return nil
}

// watch waits for changes until ctx ends. Events make it quick and the poll makes
// it sure: a network file system tells nobody of its changes.
func (f *Folder) watch(ctx context.Context) {
	defer close(f.done)
	var events <-chan fsnotify.Event
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.cfg.Log.Warn("policy folder is polled only", "dir", f.cfg.Dir, "error", err)
	} else {
		defer watcher.Close()
		events = watcher.Events
		f.addFolders(watcher)
	}
	poll := time.NewTicker(f.cfg.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for polls := 0; ; {
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				events = nil
				continue
			}
			if f.since.IsZero() {
				f.since = time.Now()
				quiet.Reset(f.cfg.Settle)
			}
			continue
		case <-quiet.C:
			if !f.settled() {
				quiet.Reset(f.cfg.Settle)
				continue
			}
			f.look(ctx, true)
		case <-poll.C:
			polls++
			if !f.since.IsZero() {
				continue
			}
			// A file system that tells nobody of its changes is seen to change here.
			if now, err := fingerprint(f.cfg.Dir); err == nil && now != f.seen {
				f.since = time.Now()
				quiet.Reset(f.cfg.Settle)
				continue
			}
			f.look(ctx, polls%rereadEvery == 0)
		}
		if watcher != nil {
			f.addFolders(watcher)
		}
	}
}

// settled reports whether the edit is over: the folder is as it was a while ago.
// In between it may lack a file that is there before and after.
func (f *Folder) settled() bool {
	now, err := fingerprint(f.cfg.Dir)
	if err == nil && now != f.last && time.Since(f.since) < max(maxUnsettled, 10*f.cfg.Settle) {
		f.last = now
		return false
	}
	f.since, f.last = time.Time{}, ""
	return true
}

// addFolders watches the folder and those in it; adding one twice does nothing.
// What cannot be watched is polled.
func (f *Folder) addFolders(w *fsnotify.Watcher) {
	dirs, err := folders(f.cfg.Dir)
	if err != nil {
		return
	}
	watched := map[string]bool{}
	for _, d := range w.WatchList() {
		watched[d] = true
	}
	for _, d := range dirs {
		if !watched[d] {
			_ = w.Add(d)
		}
	}
}

// look reads the folder when it changed (or when read is set) and puts it in
// force when it is good. Each thing that is wrong is told once.
func (f *Folder) look(ctx context.Context, read bool) {
	before, err := fingerprint(f.cfg.Dir)
	if err != nil {
		f.reject(err.Error(), err)
		return
	}
	if before == f.seen && !read && f.rejected == "" {
		return
	}
	src, err := Load(f.cfg.Dir, f.cfg.Limits)
	if err != nil {
		f.reject(err.Error(), err)
		return
	}
	// What changed while it was read may be half of an edit.
	if after, err := fingerprint(f.cfg.Dir); err != nil || after != before {
		return
	}
	f.seen = before
	now := f.current.Load()
	if src.Revision == now.status.Revision {
		f.accept(now.evaluator, now.status.LoadedAt)
		return
	}
	if src.Revision == f.rejected {
		return
	}
	ev, err := opa.Compile(ctx, src)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.reject(src.Revision, err)
	default:
		f.accept(ev, time.Now())
	}
}

// accept puts a revision in force. One that is in force already ends an error:
// the edit was taken back.
func (f *Folder) accept(ev *opa.Evaluator, at time.Time) {
	f.rejected = ""
	old := f.current.Load().status
	status := statusOf(ev, at)
	if old == status {
		return
	}
	f.current.Store(&loaded{evaluator: ev, status: status})
	f.cfg.Log.Info("policy is in force", "revision", status.Revision, "dir", f.cfg.Dir)
	f.warn(ev)
	f.tell(status)
}

// warn tells the author of what is no mistake and yet not what one expects.
func (f *Folder) warn(ev *opa.Evaluator) {
	for _, w := range ev.Warnings() {
		f.cfg.Log.Warn("policy: "+w, "revision", ev.Revision())
	}
}

// FileWaivers are the waivers in the files of the bundle in force.
func (f *Folder) FileWaivers() []policy.Waiver {
	if ev := f.current.Load().evaluator; ev != nil {
		return ev.FileWaivers()
	}
	return nil
}

// reject keeps the last good revision and says so, once for each cause.
func (f *Folder) reject(cause string, err error) {
	if f.rejected == cause {
		return
	}
	f.rejected = cause
	now := f.current.Load()
	status := now.status
	status.Err = err.Error()
	f.current.Store(&loaded{evaluator: now.evaluator, status: status})
	f.cfg.Log.Error("policy folder is broken, the last good policy stays in force",
		"dir", f.cfg.Dir, "revision", status.Revision, "error", err)
	f.tell(status)
}

func (f *Folder) tell(s Status) {
	if f.cfg.OnReload != nil {
		f.cfg.OnReload(s)
	}
}
