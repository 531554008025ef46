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
	v, err := s.newest()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s *Store) newest() (*view, error) {
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
	next, err := d.load(ctx)
	if err != nil {
		return err
	}
	d.current.Store(next)
	d.polled.Store(int64(d.now()))
	d.stale.Store(false)
	return nil
}

// load makes a view of everything.
func (d *directory) load(ctx context.Context) (*view, error) {
	q := d.store.reads
	next := &view{}
	if old := d.current.Load(); old != nil {
		next.revision = old.revision + 1
	}
	var last int64
	if err := q.row(ctx, "SELECT COALESCE(MAX(seq), 0) FROM changes").Scan(&last); err != nil {
		return nil, fmt.Errorf("newest change: %w", err)
	}
	next.revision = max(next.revision, last)
	var err error
	if next.people, err = readPeople(ctx, q, "", ""); err != nil {
		return nil, fmt.Errorf("people: %w", err)
	}
	if next.projects, err = readProjects(ctx, q, "", ""); err != nil {
		return nil, fmt.Errorf("projects: %w", err)
	}
	if next.roles, err = readRoles(ctx, q, "", ""); err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	if next.robots, err = readRobots(ctx, q, "", ""); err != nil {
		return nil, fmt.Errorf("robots: %w", err)
	}
	if next.tokens, err = readTokens(ctx, q, "", ""); err != nil {
		return nil, fmt.Errorf("access tokens: %w", err)
	}
	if next.hosts, err = readHosts(ctx, q); err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	if next.admins, err = readAdminGroups(ctx, q, ""); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	if next.glass, err = readGlass(ctx, q, ""); err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	waivers, err := readWaivers(ctx, q, "")
	if err != nil {
		return nil, fmt.Errorf("waivers: %w", err)
	}
	next.waivers = map[string]*policy.WaiverSet{}
	for workspace, list := range waivers {
		next.waivers[workspace] = policy.NewWaiverSet(list)
	}
	return next, nil
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
	next, err := d.with(ctx, parts)
	if err != nil {
		d.stale.Store(true)
		return fmt.Errorf("read the change back: %w", err)
	}
	d.current.Store(next)
	return nil
}

// with is the current view with parts of it read anew.
func (d *directory) with(ctx context.Context, parts []part) (*view, error) {
	for _, p := range parts {
		if p.kind == changedWorkspace && p.key == everythingOf {
			return d.load(ctx)
		}
	}
	next := *d.current.Load()
	next.revision++
	var own copied
	for _, p := range parts {
		if err := next.read(ctx, d.store.reads, &own, p); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

// copied says which maps of a view are its own already.
type copied struct{ people, projects, roles, robots, tokens, waivers, admins, glass bool }

// read replaces a part of v, which shares its maps with an older view until then.
func (v *view) read(ctx context.Context, q querier, own *copied, p part) error {
	switch p.kind {
	case changedPerson:
		people, err := readPeople(ctx, q, p.workspace, p.key)
		v.people = replaced(v.people, &own.people, personOf(p.workspace, p.key), people, err)
		return err
	case changedProject:
		projects, err := readProjects(ctx, q, p.workspace, p.key)
		v.projects = replaced(v.projects, &own.projects, named{p.workspace, p.key}, projects, err)
		return err
	case changedRole:
		roles, err := readRoles(ctx, q, p.workspace, p.key)
		v.roles = replaced(v.roles, &own.roles, named{p.workspace, p.key}, roles, err)
		return err
	case changedRobot:
		robots, err := readRobots(ctx, q, p.workspace, p.key)
		v.robots = replaced(v.robots, &own.robots, numberOf(p), robots, err)
		return err
	case changedAccessToken:
		tokens, err := readTokens(ctx, q, p.workspace, p.key)
		v.tokens = replaced(v.tokens, &own.tokens, numberOf(p), tokens, err)
		return err
	case changedWorkspace:
		hosts, err := readHosts(ctx, q)
		v.hosts = hosts
		return err
	case changedWaivers:
		waivers, err := readWaivers(ctx, q, p.workspace)
		if err != nil {
			return err
		}
		if !own.waivers {
			v.waivers, own.waivers = maps.Clone(v.waivers), true
		}
		v.waivers[p.workspace] = policy.NewWaiverSet(waivers[p.workspace])
	case changedBreakGlass:
		glass, err := readGlass(ctx, q, p.workspace)
		v.glass = replaced(v.glass, &own.glass, p.workspace, glass, err)
		return err
	case changedGroups:
		admins, err := readAdminGroups(ctx, q, p.workspace)
		v.admins = replaced(v.admins, &own.admins, p.workspace, admins, err)
		return err
	}
	return nil
}

// replaced is m with one key as in from, unless from could not be read. Only the
// first replacement in a view copies the map.
func replaced[K comparable, V any](m map[K]V, own *bool, key K, from map[K]V, err error) map[K]V {
	if err != nil {
		return m
	}
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
