package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata/metadatatest"
)

func unavailable(s *Store) bool {
	_, err := s.View()
	return errors.Is(err, policy.ErrUnavailable)
}

func TestALockedFileIsAnOutageUntilItIsReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	s := open(t, Config{DSN: "sqlite:" + path, Busy: 50 * time.Millisecond})
	must(t, s.Push(t.Context(), image("one"), []policy.TagMove{{Tag: "v1"}}))
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	must(t, err)
	defer other.Close()
	tx, err := other.Begin()
	must(t, err)
	is(t, s.Push(t.Context(), image("two"), []policy.TagMove{{Tag: "v2"}}), policy.ErrUnavailable)
	is(t, fails(s.CreateUser(t.Context(), Person{Name: "alice"}, "")), policy.ErrUnavailable)
	tagIs(t, s, "v1", dig("one")) // readers are not held up
	must(t, tx.Rollback())
	_, err = s.ResolveTag(t.Context(), repo, "v2")
	is(t, err, policy.ErrNotFound)
	must(t, s.Push(t.Context(), image("two"), []policy.TagMove{{Tag: "v2"}}))
}

func TestAFullDiskIsToldAndLosesNothingAcknowledged(t *testing.T) {
	s := open(t, Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "b.db")})
	ctx := t.Context()
	pages := func(n int) {
		t.Helper()
		must(t, s.update(ctx, func(ctx context.Context, tx querier) error {
			var is int
			return tx.row(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n)).Scan(&is)
		}))
	}
	pages(200)
	var mu sync.Mutex
	var wg sync.WaitGroup
	acknowledged, full := map[string]bool{}, 0
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				name := fmt.Sprintf("%d-%d", w, i)
				err := s.Push(ctx, image(name), []policy.TagMove{{Tag: name}})
				mu.Lock()
				acknowledged[name] = err == nil
				if errors.Is(err, policy.ErrNoSpace) {
					full++
				} else if err != nil {
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if full == 0 {
		t.Fatal("the file never was full")
	}
	pages(1 << 30)
	s.cache.clear()
	for name, there := range acknowledged {
		d, err := s.ResolveTag(ctx, repo, name)
		if there {
			must(t, err)
			same(t, d, dig(name))
			_, err = s.Artifact(ctx, repo, d)
			must(t, err)
		} else {
			is(t, err, policy.ErrNotFound)
			must(t, s.Push(ctx, image(name), []policy.TagMove{{Tag: name}}))
		}
	}
}

func TestAPanicInATransactionFailsItAlone(t *testing.T) {
	s := open(t, Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "b.db")})
	is(t, s.update(t.Context(), func(context.Context, querier) error { panic("boom") }), policy.ErrUnavailable)
	must(t, s.Push(t.Context(), image("one"), nil))
}

func TestAFileThatIsGoneMakesTheViewUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.db")
	s := open(t, Config{DSN: "sqlite:" + path, Poll: 10 * time.Millisecond, Grace: 200 * time.Millisecond})
	info, err := os.Stat(path)
	must(t, err)
	same(t, info.Mode().Perm(), 0o600)
	must(t, os.Rename(path, path+".away"))
	eventually(t, "the view is unavailable", func() bool { return unavailable(s) })
	is(t, s.Check(t.Context()), policy.ErrUnavailable)
	must(t, os.Rename(path+".away", path))
	eventually(t, "the view is back", func() bool { return !unavailable(s) })
}

func TestADoubtfulCommitMakesTheViewUnavailableUntilItIsRead(t *testing.T) {
	both(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		// A change whose answer was lost: it is in the database and not in the view.
		must(t, s.update(ctx, func(ctx context.Context, tx querier) error {
			_, err := tx.exec(ctx, "INSERT INTO projects (workspace, name, public, owner, labels, packs, created) VALUES ('default', 'p', $1, '', 'null', 'null', 0)", true)
			if err != nil {
				return err
			}
			return s.record(ctx, tx, changedProject, "default", "p")
		}))
		_, ok := viewOf(t, s).Project("", "p")
		same(t, ok, false)
		s.directory.doubt()
		eventually(t, "the change is read", func() bool {
			if unavailable(s) {
				return false
			}
			_, ok := viewOf(t, s).Project("", "p")
			return ok
		})
	})
}

// cutter passes connections on to PostgreSQL until it is told not to.
type cutter struct {
	net.Listener
	to  string
	mu  sync.Mutex
	cut bool
	all []net.Conn
}

func (c *cutter) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for _, conn := range c.all {
			_ = conn.Close()
		}
		c.all = nil
	}
}

func (c *cutter) serve() {
	for {
		from, err := c.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", c.to)
		c.mu.Lock()
		if err != nil || c.cut {
			_ = from.Close()
			if to != nil {
				_ = to.Close()
			}
		} else {
			c.all = append(c.all, from, to)
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
		c.mu.Unlock()
	}
}

func TestAnUnreachablePostgreSQLMakesTheViewUnavailable(t *testing.T) {
	dsn := metadatatest.PostgreSQL(t)
	u, err := url.Parse(dsn)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c := &cutter{Listener: l, to: u.Host}
	go c.serve()
	u.Host = l.Addr().String()
	ctx := t.Context()
	direct := open(t, Config{DSN: dsn})
	s := open(t, Config{DSN: u.String(), Poll: 20 * time.Millisecond, Grace: time.Second})
	must(t, s.Push(ctx, image("one"), []policy.TagMove{{Tag: "v1"}}))
	tagIs(t, s, "v1", dig("one"))

	c.set(true)
	eventually(t, "the view is unavailable", func() bool { return unavailable(s) })
	is(t, fails(s.CreateProject(ctx, Project{Project: policy.Project{Name: "p"}})), policy.ErrUnavailable)
	is(t, s.Push(ctx, image("two"), nil), policy.ErrUnavailable)
	addProject(t, direct, policy.Project{Name: "meanwhile"})
	must(t, direct.Push(ctx, image("two"), []policy.TagMove{{Tag: "v1", From: dig("one")}}))

	c.set(false)
	eventually(t, "the view is back", func() bool { return !unavailable(s) })
	eventually(t, "what happened meanwhile is known", func() bool {
		v, err := s.View()
		if err != nil {
			return false
		}
		_, ok := v.Project("", "meanwhile")
		d, err := s.ResolveTag(ctx, repo, "v1")
		return ok && err == nil && d == dig("two")
	})
}
