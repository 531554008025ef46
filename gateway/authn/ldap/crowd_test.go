package ldap

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

// A thousand people log in at one moment, each with an own password. Everybody gets
// in, over no more connections than are allowed.
func TestAThousandLoginsAtOnce(t *testing.T) {
	const crowd, connections = 1000, 10
	var more strings.Builder
	more.WriteString(tree())
	for i := range crowd {
		more.WriteString(human(fmt.Sprintf("user-%d", i), fmt.Sprintf("password %d", i)))
	}
	s := harness.StartSlapd(t, more.String())
	between := startRelay(t, strings.TrimPrefix(s.TLSURL, "ldaps://"))
	p := provider(t, config(t, s, func(c *Config) {
		c.Servers, c.Connections = []string{"ldaps://" + between.address}, connections
		c.Groups = Groups{MemberOf: "memberOf"}
		c.Wait = maxLogin
	}))
	everybody := func(login func(i int) error) time.Duration {
		t.Helper()
		var all sync.WaitGroup
		failed := make(chan error, crowd)
		begin := time.Now()
		for i := range crowd {
			all.Go(func() {
				if err := login(i); err != nil {
					failed <- fmt.Errorf("%d: %w", i, err)
				}
			})
		}
		all.Wait()
		took := time.Since(begin)
		close(failed)
		if len(failed) > 0 {
			t.Errorf("%d logins failed, one with: %v", len(failed), <-failed)
		}
		if most := between.most.Load(); most > connections {
			t.Errorf("%d connections were open at once, %d are allowed", most, connections)
		}
		return took
	}
	before := s.Counters()
	took := everybody(func(i int) error {
		who, err := p.Authenticate(t.Context(), "default", fmt.Sprintf("user-%d", i), fmt.Sprintf("password %d", i))
		if err == nil && who.ID != fmt.Sprintf("user-%d", i) {
			err = fmt.Errorf("is %s", who.ID)
		}
		return err
	})
	after := s.Counters()
	t.Logf("%d people: %s, %d connections at most, %d binds, %d searches", crowd, took.Round(time.Millisecond),
		between.most.Load(), after.Binds-before.Binds-binds, after.Searches-before.Searches)
	if after.Connections > connections {
		t.Errorf("the directory has %d connections", after.Connections)
	}

	t.Run("again within a minute", func(t *testing.T) {
		before := s.Counters()
		took := everybody(func(i int) error {
			_, err := p.Authenticate(t.Context(), "default", fmt.Sprintf("user-%d", i), fmt.Sprintf("password %d", i))
			return err
		})
		after := s.Counters()
		t.Logf("again: %s, %d binds", took.Round(time.Microsecond), after.Binds-before.Binds-binds)
		if after.Binds-before.Binds > binds {
			t.Errorf("the directory was asked again: %d binds", after.Binds-before.Binds-binds)
		}
	})
	t.Run("one person a thousand times", func(t *testing.T) {
		before := s.Counters()
		took := everybody(func(int) error {
			_, err := p.Authenticate(t.Context(), "default", "alice", "correct horse")
			return err
		})
		after := s.Counters()
		t.Logf("one person: %s, %d binds", took.Round(time.Microsecond), after.Binds-before.Binds-binds)
		// One login is three: as the account, as alice, as the account.
		if after.Binds-before.Binds > binds+3 {
			t.Errorf("a thousand pulls were %d binds", after.Binds-before.Binds-binds)
		}
	})
	t.Run("wrong passwords and unknown names", func(t *testing.T) {
		took := everybody(func(i int) error {
			name, want := fmt.Sprintf("user-%d", i), policy.ErrUnauthenticated
			if i%2 == 0 {
				name, want = fmt.Sprintf("nobody-%d", i), policy.ErrNotFound
			}
			if _, err := p.Authenticate(t.Context(), "default", name, "wrong"); !errors.Is(err, want) {
				return fmt.Errorf("answered %w", err)
			}
			return nil
		})
		t.Logf("wrong ones: %s", took.Round(time.Millisecond))
	})
}

func TestWaitingForAConnectionIsBounded(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	p := provider(t, config(t, s, func(c *Config) { c.Connections, c.Wait = 1, time.Millisecond }))
	if err := p.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.pool.slots <- struct{}{} // somebody uses the one connection
	for _, name := range []string{"alice", "nobody"} {
		if who, err := p.Authenticate(t.Context(), "default", name, "correct horse"); !errors.Is(err, policy.ErrLimited) || !who.Anonymous() {
			t.Fatal(who, err)
		}
	}
	<-p.pool.slots
	if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); err != nil {
		t.Fatal(err)
	}
}
