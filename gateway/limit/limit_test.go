package limit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/gateway/limit"
	"github.com/bondgate/bondgate/policy"
)

type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func newLogins(t *testing.T, c *clock, change func(*limit.LoginsConfig)) *limit.Logins {
	t.Helper()
	cfg := limit.LoginsConfig{Now: c.read}
	if change != nil {
		change(&cfg)
	}
	l, err := limit.NewLogins(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func retryAfter(t *testing.T, err error) string {
	t.Helper()
	var e *errcode.Error
	if !errors.Is(err, policy.ErrLimited) || !errors.As(err, &e) || e.Code != errcode.TooManyRequests {
		t.Fatalf("not the limit's answer: %v", err)
	}
	return e.Header.Get("Retry-After")
}

func TestANameIsRefusedFromAnAddressThatFailedTooOften(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, nil)
	for i := range 5 {
		if err := l.Admit("default", "alice", "192.0.2.1"); err != nil {
			t.Fatalf("try %d: %v", i+1, err)
		}
		l.Failed("default", "alice", "192.0.2.1")
	}
	if got := retryAfter(t, l.Admit("default", "alice", "192.0.2.1")); got != "30" {
		t.Fatalf("Retry-After %s", got)
	}
	for who, err := range map[string]error{
		"alice elsewhere":          l.Admit("default", "alice", "192.0.2.2"),
		"bob there":                l.Admit("default", "bob", "192.0.2.1"),
		"alice of another tenant":  l.Admit("acme", "alice", "192.0.2.1"),
		"whoever has no address":   l.Admit("default", "alice", ""),
		"alice on this machine":    l.Admit("default", "alice", "127.0.0.1"),
		"alice on this machine, 6": l.Admit("default", "alice", "::1"),
	} {
		if err != nil {
			t.Errorf("%s is refused too: %v", who, err)
		}
	}
	c.now = c.now.Add(31 * time.Second)
	if err := l.Admit("default", "alice", "192.0.2.1"); err != nil {
		t.Fatalf("after the lock: %v", err)
	}
	for range 5 {
		l.Failed("default", "alice", "192.0.2.1")
	}
	if got := retryAfter(t, l.Admit("default", "alice", "192.0.2.1")); got != "60" {
		t.Fatalf("the second lock is not twice the first: %s", got)
	}
}

func TestALockNeverGrowsBeyondTheLongest(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, func(cfg *limit.LoginsConfig) { cfg.Failures = 1 })
	for range 40 {
		l.Failed("default", "alice", "192.0.2.1")
		c.now = c.now.Add(time.Second)
	}
	if got := retryAfter(t, l.Admit("default", "alice", "192.0.2.1")); got != "899" {
		t.Fatalf("Retry-After %s", got)
	}
}

func TestALoginThatPassesForgivesTypingErrorsAndNothingElse(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, func(cfg *limit.LoginsConfig) { cfg.AddressFailures = 12 })
	for range 2 {
		for range 4 {
			l.Failed("default", "alice", "192.0.2.1")
		}
		l.Passed("default", "alice", "192.0.2.1")
		if err := l.Admit("default", "alice", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		l.Failed("default", fmt.Sprint("guess", i), "192.0.2.1")
	}
	retryAfter(t, l.Admit("default", "alice", "192.0.2.1"))
}

func TestGuessesThatAreSpreadOverAddressesAreCounted(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, nil)
	for i := range 50 {
		l.Failed("default", "alice", fmt.Sprintf("198.51.100.%d", i))
	}
	retryAfter(t, l.Admit("default", "alice", "203.0.113.9"))
	for i := range 5 { // one client has a /64
		l.Failed("default", "bob", fmt.Sprintf("2001:db8::%d", i+1))
	}
	retryAfter(t, l.Admit("default", "bob", "2001:db8::ffff"))
	if err := l.Admit("default", "bob", "2001:db8:0:1::1"); err != nil {
		t.Fatal(err)
	}
}

func TestFailuresOfLongAgoDoNotAddUp(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, nil)
	for range 10 {
		l.Failed("default", "alice", "192.0.2.1")
		c.now = c.now.Add(6 * time.Minute)
	}
	if err := l.Admit("default", "alice", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
}

func TestAFloodOfNamesCostsNoMoreThanTheEntries(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	l := newLogins(t, c, func(cfg *limit.LoginsConfig) { cfg.Entries, cfg.AddressFailures = 100, 1<<30 })
	for i := range 10_000 {
		l.Failed("default", fmt.Sprint("name", i), "192.0.2.1")
	}
	if err := l.Admit("default", "name0", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsAreLimitedByAccountProjectAndAddress(t *testing.T) {
	c := &clock{now: time.Unix(1790000000, 0)}
	alice := policy.Principal{Workspace: "default", Issuer: "local", ID: "alice", Kind: policy.KindUser}
	bob := policy.Principal{Workspace: "default", Issuer: "local", ID: "bob", Kind: policy.KindUser}
	two := limit.Rate{PerSecond: 1, Burst: 2}
	for _, test := range []struct {
		sentence    string
		cfg         limit.RequestsConfig
		ask, others func(*limit.Requests) error
	}{
		{"an account", limit.RequestsConfig{Identity: two},
			func(r *limit.Requests) error { return r.Caller(alice, "p", "192.0.2.1") },
			func(r *limit.Requests) error { return r.Caller(bob, "p", "192.0.2.1") }},
		{"a project", limit.RequestsConfig{Project: two},
			func(r *limit.Requests) error { return r.Caller(alice, "p", "192.0.2.1") },
			func(r *limit.Requests) error { return r.Caller(alice, "q", "192.0.2.1") }},
		{"an address", limit.RequestsConfig{Address: two},
			func(r *limit.Requests) error { return r.Address("192.0.2.1") },
			func(r *limit.Requests) error { return r.Address("192.0.2.2") }},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			test.cfg.Now = c.read
			r, err := limit.NewRequests(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := test.ask(r); err != nil {
					t.Fatal(err)
				}
			}
			if got := retryAfter(t, test.ask(r)); got != "1" {
				t.Fatalf("Retry-After %s", got)
			}
			if err := test.others(r); err != nil {
				t.Fatal(err)
			}
			c.now = c.now.Add(time.Second)
			if err := test.ask(r); err != nil {
				t.Fatalf("a second later: %v", err)
			}
		})
	}
}

func TestThisMachineIsNotLimitedUnlessAsked(t *testing.T) {
	one := limit.Rate{PerSecond: 0.001, Burst: 1}
	for _, loopback := range []bool{false, true} {
		r, err := limit.NewRequests(limit.RequestsConfig{Address: one, Identity: one, Loopback: loopback})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Address("127.0.0.1")
		if err := r.Address("127.0.0.1"); (err != nil) != loopback {
			t.Fatalf("loopback %t: %v", loopback, err)
		}
	}
}

func TestARateNeedsBothNumbers(t *testing.T) {
	for _, r := range []limit.Rate{{PerSecond: 1}, {Burst: 1}, {PerSecond: -1, Burst: 1}} {
		if _, err := limit.NewRequests(limit.RequestsConfig{Project: r}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
