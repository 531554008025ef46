package ldap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func TestFailover(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	first, second := startRelay(t, strings.TrimPrefix(s.TLSURL, "ldaps://")), startRelay(t, strings.TrimPrefix(s.TLSURL, "ldaps://"))
	c := &clock{}
	p := provider(t, config(t, s, func(cfg *Config) {
		cfg.Servers = []string{"ldaps://" + first.address, "ldaps://" + second.address}
		cfg.Now, cfg.Remember = c.now, time.Nanosecond
		cfg.ConnectTimeout, cfg.Timeout = 500*time.Millisecond, 500*time.Millisecond
	}))
	login := func(t *testing.T) {
		t.Helper()
		if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
		if who, err := p.Authenticate(t.Context(), "default", "alice", "wrong"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(who, err)
		}
	}
	login(t)
	if first.total.Load() != 1 || second.total.Load() != 0 {
		t.Fatal("the first is not the first")
	}
	t.Run("a server that closed an idle connection", func(t *testing.T) {
		first.cut()
		login(t)
		if second.total.Load() != 0 {
			t.Fatal("that is no reason to go to the second")
		}
	})
	t.Run("the first is down", func(t *testing.T) {
		first.stop()
		login(t)
		if second.total.Load() == 0 {
			t.Fatal("the second was not asked")
		}
	})
	t.Run("the first is back and is asked again after a while", func(t *testing.T) {
		first.start()
		before := first.total.Load()
		login(t)
		if first.total.Load() != before {
			t.Fatal("it was asked at once, with connections to the second at hand")
		}
		c.advance(keepOpen)
		login(t)
		if first.total.Load() == before {
			t.Fatal("it is never asked again")
		}
	})
	t.Run("the first hangs", func(t *testing.T) {
		first.freeze(true)
		before := second.total.Load()
		login(t)
		if second.total.Load() == before {
			t.Fatal("the second was not asked")
		}
		first.freeze(false)
	})
	t.Run("both are down", func(t *testing.T) {
		first.stop()
		second.stop()
		who, err := p.Authenticate(t.Context(), "default", "bob", "battery staple")
		if !errors.Is(err, policy.ErrUnavailable) || !who.Anonymous() || !strings.Contains(err.Error(), "corp") {
			t.Fatal(who, err)
		}
	})
	t.Run("one is back", func(t *testing.T) {
		second.start()
		c.advance(pause)
		login(t)
	})
}

// While the directory does not answer, a credential that was right a while ago is
// right; nothing else is.
func TestGrace(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	c := &clock{}
	note := &enrolled{}
	inGroups := func(cfg *Config) {
		cfg.Now, cfg.Enroller, cfg.Groups = c.now, note, Groups{MemberOf: "memberOf", BaseDN: groups, Name: "cn"}
		cfg.ConnectTimeout, cfg.Timeout = time.Second, time.Second
	}
	p, strict := provider(t, config(t, s, inGroups)), provider(t, config(t, s, inGroups, func(cfg *Config) { cfg.Grace = -1 }))
	login := func(p *Provider, workspace, name, password string) (policy.Principal, error) {
		return p.Authenticate(t.Context(), workspace, name, password)
	}
	for _, p := range []*Provider{p, strict} {
		if _, err := login(p, "default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	for _, after := range []time.Duration{0, MaxRemember, 8 * time.Minute} {
		c.advance(after)
		for range 3 {
			who, err := login(p, "default", "alice", "correct horse")
			if err != nil || who.ID != "alice" || !slices.Equal(who.Groups, []string{"payments"}) {
				t.Fatal(after, who, err)
			}
		}
		for _, other := range [][3]string{
			{"default", "alice", "correct horse "}, {"default", "ALICE", "correct horse"}, {"other", "alice", "correct horse"},
			{"default", "bob", "battery staple"}, {"default", "eve", "x"},
		} {
			if who, err := login(p, other[0], other[1], other[2]); !errors.Is(err, policy.ErrUnavailable) || !who.Anonymous() {
				t.Fatalf("%v: %+v %v", other, who, err)
			}
		}
	}
	t.Run("none if none is wanted", func(t *testing.T) {
		if who, err := login(strict, "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(who, err)
		}
	})
	t.Run("a refresh is no login", func(t *testing.T) {
		if _, err := p.Refresh(t.Context(), policy.Principal{Issuer: "ldap:corp", ID: "alice", Kind: policy.KindUser}); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(err)
		}
	})
	t.Run("it ends", func(t *testing.T) {
		c.advance(time.Minute)
		if who, err := login(p, "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatal(who, err)
		}
	})
	if note.times.Load() != 2 {
		t.Fatalf("enrolled %d times", note.times.Load())
	}
	t.Run("it begins anew when the directory is back", func(t *testing.T) {
		s.Start()
		c.advance(pause)
		if _, err := login(p, "default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a directory that is back is believed, and the success is forgotten", func(t *testing.T) {
		s.Stop()
		c.advance(MaxRemember)
		if _, err := login(p, "default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
		s.Start()
		s.Modify("dn: uid=alice," + people + "\nchangetype: modify\nreplace: userPassword\nuserPassword: another\n")
		c.advance(pause)
		// The login that found the directory back may still have answered from memory.
		harness.Eventually(t, "the changed password", func() error {
			c.advance(pause)
			if _, err := login(p, "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnauthenticated) {
				return errors.New("the old password is still right")
			}
			return nil
		})
		s.Stop()
		if who, err := login(p, "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
			t.Fatalf("what was refused is right again: %+v %v", who, err)
		}
	})
}

func TestAClientThatLeavesDoesNotWait(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	between := startRelay(t, strings.TrimPrefix(s.TLSURL, "ldaps://"))
	p := provider(t, config(t, s, func(c *Config) { c.Servers = []string{"ldaps://" + between.address} }))
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	between.freeze(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Authenticate(ctx, "default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := p.Lookup(ctx, "alice"); !errors.Is(err, policy.ErrUnavailable) {
		t.Fatal(err)
	}
}
