package local

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// rows is a store of people that counts how often it is asked.
type rows struct {
	mu       sync.Mutex
	hash     map[string]string
	disabled map[string]bool
	err      error
	asked    atomic.Int64
	revision atomic.Int64
}

func (r *rows) PasswordHash(_ context.Context, workspace, name string) (string, bool, error) {
	r.asked.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return "", false, r.err
	}
	h, ok := r.hash[workspace+"/"+name]
	if !ok {
		return "", false, policy.ErrNotFound
	}
	return h, r.disabled[workspace+"/"+name], nil
}

func (r *rows) change(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.revision.Add(1)
}

// cheap is a hash with little work, for tests that are not about the work.
func cheap(password string) string {
	salt := []byte("0123456789abcdef")
	return encode(phc{memory: 64, iterations: 1, lanes: 1, salt: salt, sum: argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)})
}

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }
func newClock() *clock                   { c := &clock{}; c.at.Store(time.Now().UnixNano()); return c }
func (r *rows) provider(t *testing.T, c *clock) *Provider {
	t.Helper()
	p, err := New(Config{Store: r, Revision: r.revision.Load, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newRows() *rows {
	return &rows{
		hash:     map[string]string{"default/alice": cheap("correct horse"), "default/broken": "plain", "default/off": cheap("correct horse")},
		disabled: map[string]bool{"default/off": true},
	}
}

func TestAuthenticate(t *testing.T) {
	cases := []struct {
		sentence, workspace, name, password string
		err                                 error
	}{
		{"the right password", "default", "alice", "correct horse", nil},
		{"a wrong password", "default", "alice", "correct horse ", policy.ErrUnauthenticated},
		{"a name that nobody has", "default", "eve", "correct horse", policy.ErrNotFound},
		{"a name in another case", "default", "Alice", "correct horse", policy.ErrNotFound},
		{"a person of another workspace", "other", "alice", "correct horse", policy.ErrNotFound},
		{"somebody who is disabled", "default", "off", "correct horse", policy.ErrUnauthenticated},
		{"a stored value that is no hash is nobody's password", "default", "broken", "plain", policy.ErrUnauthenticated},
		{"an empty password", "default", "alice", "", policy.ErrUnauthenticated},
	}
	p := newRows().provider(t, newClock())
	for _, c := range cases {
		for _, round := range []string{"cold", "again"} {
			t.Run(c.sentence+", "+round, func(t *testing.T) {
				who, err := p.Authenticate(t.Context(), c.workspace, c.name, c.password)
				if !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				if err != nil && !who.Anonymous() {
					t.Fatalf("a refusal named %+v", who)
				}
				if err == nil && (who.ID != c.name || who.Workspace != c.workspace || who.Issuer != "local" || who.Kind != policy.KindUser || who.Auth != "basic") {
					t.Fatalf("%+v", who)
				}
			})
		}
	}
}

func TestSuccessIsRemembered(t *testing.T) {
	r, c := newRows(), newClock()
	p := r.provider(t, c)
	login := func(password string) error {
		_, err := p.Authenticate(context.Background(), "default", "alice", password)
		return err
	}
	if err := login("correct horse"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := login("correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.asked.Load(); n != 1 {
		t.Fatalf("a warm credential asked the store %d times", n)
	}
	t.Run("another change asks the row once", func(t *testing.T) {
		r.change(func() {})
		_, _ = login("correct horse"), login("correct horse")
		if n := r.asked.Load(); n != 2 {
			t.Fatalf("asked %d times", n)
		}
	})
	t.Run("a disabled account stops at the next request", func(t *testing.T) {
		r.change(func() { r.disabled["default/alice"] = true })
		if err := login("correct horse"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
		r.change(func() { r.disabled["default/alice"] = false })
		if err := login("correct horse"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a changed password stops the old one at the next request", func(t *testing.T) {
		r.change(func() { r.hash["default/alice"] = cheap("battery staple") })
		if err := login("correct horse"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
		if err := login("battery staple"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("the name being gone stops it", func(t *testing.T) {
		r.change(func() { delete(r.hash, "default/alice") })
		if err := login("battery staple"); !errors.Is(err, policy.ErrNotFound) {
			t.Fatal(err)
		}
	})
	t.Run("a store that is down is an outage once the memory is old", func(t *testing.T) {
		r.change(func() { r.hash["default/alice"] = cheap("battery staple") })
		if err := login("battery staple"); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.err = policy.ErrUnavailable
		r.mu.Unlock()
		if err := login("battery staple"); err != nil {
			t.Fatal(err)
		}
		c.advance(MaxCache)
		if err := login("battery staple"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(err)
		}
	})
	t.Run("a revision that cannot be told asks the row each time", func(t *testing.T) {
		r.change(func() { r.err = nil })
		r.revision.Store(-1)
		before := r.asked.Load()
		_, _, _ = login("battery staple"), login("battery staple"), login("battery staple")
		if n := r.asked.Load() - before; n != 3 {
			t.Fatalf("asked %d times", n)
		}
	})
}

func TestTooManyAtOnceIsLimited(t *testing.T) {
	r := newRows()
	p, err := New(Config{Store: r, Revision: r.revision.Load, Concurrency: 1, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.turns.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "nobody", "broken", "off"} {
		if _, err := p.Authenticate(t.Context(), "default", name, "correct horse"); !errors.Is(err, policy.ErrLimited) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	p.turns.Release(1)
	if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); err != nil {
		t.Fatal(err)
	}
}

// Whoever has no account must cost the same work as a wrong password: the same
// computation with the same parameters (that they wait for a turn as well is seen
// in TestTooManyAtOnceIsLimited).
func TestUnknownNamesCostAWrongPasswordsWork(t *testing.T) {
	p := newRows().provider(t, newClock())
	if p.dummy.memory != memoryKiB || p.dummy.iterations != iterations || p.dummy.lanes != lanes || len(p.dummy.sum) != sumBytes {
		t.Fatalf("the stand-in is cheaper than a real hash: %+v", p.dummy)
	}
}

// directory knows carol.
type directory struct{ asked []string }

func (d *directory) Authenticate(_ context.Context, workspace, name, password string) (policy.Principal, error) {
	d.asked = append(d.asked, name)
	switch {
	case name != "carol":
		return policy.Principal{}, policy.ErrNotFound
	case password != "right":
		return policy.Principal{}, policy.ErrUnauthenticated
	}
	return policy.Principal{Workspace: workspace, Issuer: "ldap:corp", ID: name, Kind: policy.KindUser}, nil
}

// While every turn is taken, whoever needs a hash is told to come back: so it is
// seen who needs one.
func TestPeopleOfADirectoryCostNoHashAndWhoeverFailsCostsOne(t *testing.T) {
	r := newRows()
	p := r.provider(t, newClock())
	p.wait = time.Millisecond
	if err := p.turns.Acquire(t.Context(), int64(runtime.GOMAXPROCS(0))); err != nil {
		t.Fatal(err)
	}
	d := &directory{}
	chain := p.Before(d)
	for _, c := range []struct {
		sentence, name, password string
		err                      error
		asked                    bool
	}{
		{"a person of the directory", "carol", "right", nil, true},
		{"a wrong password there", "carol", "wrong", policy.ErrLimited, true},
		{"nobody's name", "nobody", "x", policy.ErrLimited, true},
		{"an account's name is not asked of others", "alice", "wrong", policy.ErrLimited, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			d.asked = nil
			if _, err := chain.Authenticate(t.Context(), "default", c.name, c.password); !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if (len(d.asked) > 0) != c.asked {
				t.Fatalf("asked of others: %v", d.asked)
			}
		})
	}
	if p.Before() != authn.Passwords(p) {
		t.Error("without others there is a chain")
	}
}

func TestPasswords(t *testing.T) {
	password := Generate()
	if len(password) != GeneratedPassword || password == Generate() || Check(password) != nil {
		t.Fatal(password)
	}
	stored, err := Hash(password)
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(stored, err)
	}
	h, err := parse(stored)
	if err != nil || !h.matches(password) || h.matches(password+"x") {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "short", "seven77", "with\nbreak", "with\x00zero", "\xff\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("l", 1025)} {
		if _, err := Hash(bad); !errors.Is(err, policy.ErrInvalid) {
			t.Fatalf("%q: %v", bad, err)
		}
	}
}

func TestStoredParametersAreBounded(t *testing.T) {
	good := cheap("x")
	for _, c := range [][2]string{
		{"another algorithm", strings.Replace(good, "argon2id", "argon2i", 1)},
		{"another version", strings.Replace(good, "v=19", "v=16", 1)},
		{"memory of a tebibyte", strings.Replace(good, "m=64", "m=1073741824", 1)},
		{"no memory", strings.Replace(good, "m=64", "m=0", 1)},
		{"iterations for a day", strings.Replace(good, "t=1", "t=4294967295", 1)},
		{"a negative number", strings.Replace(good, "t=1", "t=-1", 1)},
		{"many lanes", strings.Replace(good, "p=1", "p=255", 1)},
		{"an order of its own", strings.Replace(good, "m=64,t=1", "t=1,m=64", 1)},
		{"a sum of one byte", good[:strings.LastIndex(good, "$")] + "$AA"},
		{"no sum, which any password would match", good[:strings.LastIndex(good, "$")] + "$"},
		{"bcrypt", "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"},
		{"nothing", ""},
		{"a long row", good + strings.Repeat("A", 600)},
	} {
		t.Run(c[0], func(t *testing.T) {
			if _, err := parse(c[1]); !errors.Is(err, errStored) {
				t.Fatalf("%q: %v", c[1], err)
			}
		})
	}
}

func BenchmarkAuthenticateWarm(b *testing.B) {
	r := newRows()
	p, err := New(Config{Store: r, Revision: r.revision.Load})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Authenticate(b.Context(), "default", "alice", "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		if _, err := Hash("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
