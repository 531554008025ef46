package metadata

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// directory holds the newest view and keeps it true.
type directory struct {
	store *Store
	began time.Time

	// mu serialises readings of the database that make a view: a reading that
	// begins after a commit never gives way to one that began before.
	mu      sync.Mutex
	current atomic.Pointer[view]

	// polled is when the database last answered, in nanoseconds since began.
	polled atomic.Int64
	// stale is set when a change is known and could not be read.
	stale atomic.Bool
	// doubtful is until when our own changes are read back like those of
	// others, in nanoseconds since began: a commit's outcome is unknown.
	doubtful atomic.Int64

	feed feed
}

var (
	_ policy.Directory = (*Store)(nil)
	_ policy.View      = (*view)(nil)
)

func newDirectory(s *Store) *directory {
	return &directory{store: s, began: time.Now()}
}

func (d *directory) now() time.Duration { return time.Since(d.began) }

// View answers the newest view of people, projects and waivers. It fails with
// policy.ErrUnavailable when a known change could not be read or when the
// database has not answered for longer than Config.Grace.
func (s *Store) View() (policy.View, error) {
	d := s.directory
	if d.stale.Load() {
		return nil, fmt.Errorf("metadata: a change could not be read: %w", policy.ErrUnavailable)
	}
	if age := d.now() - time.Duration(d.polled.Load()); age > s.cfg.Grace {
		return nil, fmt.Errorf("metadata: the database has not answered for %s: %w",
			age.Round(time.Second), policy.ErrUnavailable)
	}
	return d.current.Load(), nil
}

// doubt is called when a commit's outcome is unknown.
func (d *directory) doubt() {
	d.doubtful.Store(int64(d.now() + time.Minute))
	d.stale.Store(true)
	d.store.cache.clear()
}

// start reads everything, after it has noted where the feed of changes stands: a
// change in between is read twice rather than missed.
func (d *directory) start(ctx context.Context) error {
	feed, err := newFeed(ctx, d.store)
	if err != nil {
		return err
	}
	d.feed = feed
	return d.reload(ctx)
}

// reload reads everything anew.
func (d *directory) reload(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.store.reads
	next := &view{}
	if old := d.current.Load(); old != nil {
		next.revision = old.revision + 1
	}
	var last int64
	if err := q.row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM changes").Scan(&last); err != nil {
		return fmt.Errorf("newest change: %w", err)
	}
	next.revision = max(next.revision, last)
	var err error
	if next.users, err = readUsers(ctx, q, "", ""); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if next.projects, err = readProjects(ctx, q, "", ""); err != nil {
		return fmt.Errorf("projects: %w", err)
	}
	waivers, err := readWaivers(ctx, q, "")
	if err != nil {
		return fmt.Errorf("waivers: %w", err)
	}
	next.waivers = map[string]*waiverSet{}
	for workspace, list := range waivers {
		next.waivers[workspace] = newWaiverSet(list)
	}
	d.current.Store(next)
	d.polled.Store(int64(d.now()))
	d.stale.Store(false)
	return nil
}

// part is what a change touched.
type part struct{ kind, workspace, key string }

// refreshTimeout bounds the reading of a part after a change.
const refreshTimeout = 5 * time.Second

// refresh reads the changed parts and installs a view with them. It is called
// after the commit and before the changing call returns. When it cannot read, no
// view is handed out until the poll has read everything.
func (d *directory) refresh(ctx context.Context, parts ...part) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	next := *d.current.Load()
	next.revision++
	var own copied
	for _, p := range parts {
		if err := next.read(ctx, d.store.reads, &own, p); err != nil {
			d.stale.Store(true)
			return fmt.Errorf("read the change back: %w", err)
		}
	}
	d.current.Store(&next)
	return nil
}

// copied says which maps of a view are its own already.
type copied struct{ users, projects, waivers bool }

// read replaces a part of v, which shares its maps with an older view until then.
func (v *view) read(ctx context.Context, q querier, own *copied, p part) error {
	at := named{p.workspace, p.key}
	switch p.kind {
	case changedUser:
		users, err := readUsers(ctx, q, p.workspace, p.key)
		if err != nil {
			return err
		}
		v.users = replaced(v.users, &own.users, at, users)
	case changedProject:
		projects, err := readProjects(ctx, q, p.workspace, p.key)
		if err != nil {
			return err
		}
		v.projects = replaced(v.projects, &own.projects, at, projects)
	case changedWaivers:
		waivers, err := readWaivers(ctx, q, p.workspace)
		if err != nil {
			return err
		}
		if !own.waivers {
			v.waivers, own.waivers = maps.Clone(v.waivers), true
		}
		v.waivers[p.workspace] = newWaiverSet(waivers[p.workspace])
	}
	return nil
}

// replaced is m with one key as in from. Only the first replacement in a view
// copies the map.
func replaced[V any](m map[named]V, own *bool, key named, from map[named]V) map[named]V {
	if !*own {
		m, *own = maps.Clone(m), true
	}
	if value, ok := from[key]; ok {
		m[key] = value
	} else {
		delete(m, key)
	}
	return m
}
