package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func TestAuthenticate(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	s.Modify("dn: uid=locked," + people + "\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n")
	note := &enrolled{disabled: map[string]bool{"gone": true}}
	search := provider(t, config(t, s, func(c *Config) { c.Enroller = note }))
	straight := provider(t, config(t, s, direct))
	guarded := provider(t, config(t, s, direct, func(c *Config) { c.BindDN, c.BindPassword = account, "service" }))

	cases := []struct {
		sentence, name, password string
		err                      error
		id                       string
		straightErr              error // where a direct bind answers otherwise
	}{
		{"the right password", "alice", "correct horse", nil, "alice", nil},
		{"a name in another case is the same person", "ALICE", "correct horse", nil, "alice", nil},
		{"a wrong password", "alice", "correct horse ", policy.ErrUnauthenticated, "", policy.ErrNotFound},
		{"somebody else's password", "bob", "correct horse", policy.ErrUnauthenticated, "", policy.ErrNotFound},
		{"a name that nobody has", "eve", "correct horse", policy.ErrNotFound, "", policy.ErrNotFound},
		{"an empty password", "alice", "", policy.ErrUnauthenticated, "", nil},
		{"an empty name", "", "correct horse", policy.ErrUnauthenticated, "", nil},
		{"an account that has a password and no person", "gateway", "service", policy.ErrNotFound, "", nil},
		{"a name that two people have", "twin", "battery staple", policy.ErrUnauthenticated, "", errAny},
		{"an entry with two names", "two", "battery staple", policy.ErrUnauthenticated, "", nil},
		{"an account that the directory has locked", "locked", "battery staple", policy.ErrUnauthenticated, "", errAny},
		{"somebody who is disabled here", "gone", "battery staple", policy.ErrUnauthenticated, "", errAny},
		{"a name with a NUL", "alice\x00", "correct horse", policy.ErrUnauthenticated, "", nil},
		{"a password with a NUL", "alice", "correct horse\x00", policy.ErrUnauthenticated, "", nil},
	}
	for _, c := range cases {
		for _, by := range []struct {
			way      string
			provider *Provider
			want     error
		}{{"searching", search, c.err}, {"binding directly", straight, c.straightErr}, {"binding directly, reading as the account", guarded, c.straightErr}} {
			want := by.want
			if by.provider != search {
				switch {
				case errors.Is(c.straightErr, errAny):
					continue // the ways differ, and another test looks at it
				case c.straightErr == nil:
					want = c.err
				}
			}
			t.Run(c.sentence+", "+by.way, func(t *testing.T) {
				who, err := by.provider.Authenticate(t.Context(), "default", c.name, c.password)
				if !errors.Is(err, want) {
					t.Fatal(err)
				}
				if err != nil {
					if !who.Anonymous() {
						t.Fatalf("a refusal named %+v", who)
					}
					if c.password != "" && strings.Contains(err.Error(), c.password) {
						t.Fatalf("the password is in the error: %v", err)
					}
					return
				}
				if who.ID != c.id || who.Issuer != "ldap:corp" || who.Kind != policy.KindUser || who.Auth != policy.AuthLDAP || who.Workspace != "default" || who.Name != "alice" {
					t.Fatalf("%+v", who)
				}
			})
		}
	}
	if note.last.RealName == "" {
		t.Fatal("nobody was enrolled")
	}
}

var errAny = errors.New("another answer")

func TestAwkwardNamesAreTheirOwners(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	for way, p := range map[string]*Provider{"searching": provider(t, config(t, s)), "binding directly": provider(t, config(t, s, direct))} {
		for i, name := range awkward {
			t.Run(way+" for "+name, func(t *testing.T) {
				who, err := p.Authenticate(t.Context(), "default", name, fmt.Sprintf("awkward %d", i))
				if err != nil || who.Name != name || who.ID != strings.ToLower(name) {
					t.Fatalf("%+v %v", who, err)
				}
			})
		}
	}
}

// What was typed must choose a person and nothing else: attack class 16.
func TestInjectionFindsNobody(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	search, straight := provider(t, config(t, s)), provider(t, config(t, s, direct))
	for _, c := range []struct{ sentence, name string }{
		{"a star for everybody", "ali*"},
		{"any value at all", "alice)(uid=*"},
		{"the end of the filter", "alice))(|(uid=*"},
		{"another attribute", "*)(objectClass=*"},
		{"alternatives", "eve)(|(uid=alice)"},
		{"a condition that is always true", "alice)(!(uid=eve"},
		{"an escape that is typed", `\61lice`},
		{"an escape of the whole name", `\61\6c\69\63\65`},
		{"a NUL, escaped", `alice\00`},
		{"a NUL, escaped, and more", `alice\00)(uid=*`},
		{"a whole DN", "uid=alice," + people},
		{"the end of a DN", "alice," + people},
		{"a part of the DN that goes elsewhere", "alice,ou=others"},
		{"a second value in the DN's first part", "alice+cn=alice"},
		{"another attribute in it", "alice+uid=bob"},
		{"an escaped comma", `alice\,ou=people`},
		{"a hex value", "#0405616c696365"},
		{"a quoted value", `"alice"`},
		{"a mark of the template", "%salice"},
		{"the person's DN by the groups' mark", "%d"},
		{"a range of names", "a>=b"},
		{"approximately", "alice~"},
		{"a matching rule", "alice:caseExactMatch:=alice"},
	} {
		for _, password := range []string{"correct horse", "battery staple", "service"} {
			for way, p := range map[string]*Provider{"searching": search, "binding directly": straight} {
				who, err := p.Authenticate(t.Context(), "default", c.name, password)
				if err == nil || !who.Anonymous() || errors.Is(err, policy.ErrUnavailable) {
					t.Errorf("%s, %s: %+v %v", c.sentence, way, who, err)
				}
			}
		}
		if _, err := search.Lookup(t.Context(), c.name); !errors.Is(err, policy.ErrNotFound) && c.name != "%d" {
			t.Errorf("%s: looked up: %v", c.sentence, err)
		}
	}
}

func TestASuccessIsRememberedAndNothingElse(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	c := &clock{}
	note := &enrolled{disabled: map[string]bool{}}
	p := provider(t, config(t, s, func(cfg *Config) { cfg.Now, cfg.Enroller = c.now, note }))
	login := func(workspace, name, password string) error {
		_, err := p.Authenticate(t.Context(), workspace, name, password)
		return err
	}
	before := s.Counters()
	for range 100 {
		if err := login("default", "alice", "correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	after := s.Counters()
	// As the account, as alice, as the account again.
	if n := after.Binds - before.Binds; n > 3+binds {
		t.Fatalf("100 logins were %d binds", n-binds)
	}
	if note.times.Load() != 1 {
		t.Fatalf("enrolled %d times", note.times.Load())
	}
	t.Run("not for another workspace", func(t *testing.T) {
		if err := login("other", "alice", "correct horse"); err != nil || note.times.Load() != 2 {
			t.Fatal(err, note.times.Load())
		}
	})
	t.Run("a changed password ends it after a minute", func(t *testing.T) {
		s.Modify("dn: uid=alice," + people + "\nchangetype: modify\nreplace: userPassword\nuserPassword: another\n")
		c.advance(MaxRemember)
		if err := login("default", "alice", "correct horse"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
		if err := login("default", "alice", "another"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("being disabled here ends it", func(t *testing.T) {
		note.mu.Lock()
		note.disabled["alice"] = true
		note.mu.Unlock()
		c.advance(MaxRemember)
		if err := login("default", "alice", "another"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatal(err)
		}
	})
}

// binds of the monitor itself, between two readings of the counters.
const binds = 3

func TestRefreshAndLookup(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	searched := func(c *Config) {
		c.Groups = Groups{Filter: "(&(objectClass=groupOfNames)(member=%d))", BaseDN: groups, Name: "cn"}
	}
	byUUID := provider(t, config(t, s, searched, func(c *Config) { c.Attributes.ID = "entryUUID" }))
	for way, p := range map[string]*Provider{
		"by uid": provider(t, config(t, s, searched)), "by entryUUID": byUUID,
		"by template": provider(t, config(t, s, direct, searched, func(c *Config) { c.BindDN, c.BindPassword = account, "service" })),
	} {
		t.Run(way, func(t *testing.T) {
			who, err := p.Authenticate(t.Context(), "default", "bob", "battery staple")
			if err != nil || !slices.Equal(who.Groups, []string{"others"}) {
				t.Fatal(who, err)
			}
			who.Name = "bob@corp" // as the directory of people may have called him
			s.Modify("dn: cn=platform," + groups + "\nchangetype: modify\nadd: member\nmember: uid=bob," + people + "\n")
			again, err := p.Refresh(t.Context(), who)
			if err != nil || !slices.Equal(again.Groups, []string{"others", "platform"}) || again.ID != who.ID || again.Name != "bob@corp" {
				t.Fatal(again, err)
			}
			s.Modify("dn: cn=platform," + groups + "\nchangetype: modify\ndelete: member\nmember: uid=bob," + people + "\n")
			seen, err := p.Lookup(t.Context(), "BOB")
			if err != nil || seen.ID != who.ID || seen.DN != "uid=bob,"+people || !slices.Equal(seen.Groups, []string{"others"}) || seen.Attributes["userPassword"] != nil {
				t.Fatal(seen, err)
			}
		})
	}
	p := provider(t, config(t, s, searched))
	who := func(id string) policy.Principal {
		return policy.Principal{Workspace: "default", Issuer: "ldap:corp", ID: id, Name: id, Kind: policy.KindUser}
	}
	refused := func(t *testing.T, p *Provider, w policy.Principal) {
		t.Helper()
		if got, err := p.Refresh(t.Context(), w); !errors.Is(err, policy.ErrUnauthenticated) || !got.Anonymous() {
			t.Fatal(got, err)
		}
	}
	renamed, err := byUUID.Authenticate(t.Context(), "default", "renamed", "battery staple")
	if err != nil {
		t.Fatal(err)
	}
	s.Modify("dn: uid=gone," + people + "\nchangetype: delete\n")
	s.Modify("dn: uid=locked," + people + "\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n")
	s.Modify("dn: uid=renamed," + people + "\nchangetype: modrdn\nnewrdn: uid=married\ndeleteoldrdn: 1\n")
	t.Run("who is gone is refused", func(t *testing.T) { refused(t, p, who("gone")) })
	t.Run("who is locked is refused", func(t *testing.T) { refused(t, p, who("locked")) })
	t.Run("two of a name are refused", func(t *testing.T) { refused(t, p, who("twin")) })
	t.Run("an id like a filter is refused", func(t *testing.T) { refused(t, p, who("ali*")); refused(t, byUUID, who("*")) })
	t.Run("a principal of another issuer is refused", func(t *testing.T) {
		w := who("bob")
		w.Issuer = "local"
		refused(t, p, w)
		w = who("bob")
		w.Kind = policy.KindRobot
		refused(t, p, w)
		refused(t, p, policy.Principal{Issuer: "ldap:corp", Kind: policy.KindUser})
	})
	t.Run("who was renamed is found by an id that does not change, and not by the name", func(t *testing.T) {
		if got, err := byUUID.Refresh(t.Context(), renamed); err != nil || got.ID != renamed.ID {
			t.Fatal(got, err)
		}
		refused(t, p, who("renamed"))
	})
	t.Run("a directory without an account to search with is not asked", func(t *testing.T) {
		alone := provider(t, config(t, s, direct))
		refused(t, alone, who("alice"))
		if _, err := alone.Lookup(t.Context(), "alice"); !errors.Is(err, policy.ErrUnsupported) {
			t.Fatal(err)
		}
		if err := alone.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("nobody, and several, are told apart for an operator", func(t *testing.T) {
		if _, err := p.Lookup(t.Context(), "eve"); !errors.Is(err, policy.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := p.Lookup(t.Context(), "twin"); !errors.Is(err, policy.ErrConflict) {
			t.Fatal(err)
		}
		if seen, err := p.Lookup(t.Context(), "locked"); err != nil || seen.Disabled == "" {
			t.Fatal(seen, err)
		}
	})
}

func TestPing(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	for _, c := range []struct {
		sentence string
		change   func(*Config)
		ok       bool
	}{
		{"as it should be", func(*Config) {}, true},
		{"a wrong password of the account", func(c *Config) { c.BindPassword = "wrong" }, false},
		{"an account that is not there", func(c *Config) { c.BindDN = "cn=nobody," + harness.SlapdSuffix }, false},
		{"a base that is not there", func(c *Config) { c.BaseDN = "dc=example,dc=com" }, false},
		{"nobody may search", func(c *Config) { c.BindDN, c.BindPassword, c.AnonymousSearch = "", "", true }, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := provider(t, config(t, s, c.change))
			err := p.Ping(t.Context())
			if c.ok != (err == nil) || err != nil && (!errors.Is(err, policy.ErrUnavailable) || !strings.Contains(err.Error(), "corp")) {
				t.Fatal(err)
			}
			if _, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); c.ok != (err == nil) {
				t.Fatalf("what the ping says and what a login meets differ: %v", err)
			}
		})
	}
}

// An unknown name and a wrong password are told apart by the answer to the chain
// of providers, never to the client; what the directory is asked is as much.
func TestAnUnknownNameCostsABind(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	p := provider(t, config(t, s, func(c *Config) { c.Remember = time.Nanosecond }))
	cost := func(name string) harness.SlapdCounters {
		_, _ = p.Authenticate(t.Context(), "default", name, "wrong") // the next begins with a bind as the account
		before := s.Counters()
		_, _ = p.Authenticate(t.Context(), "default", name, "wrong")
		after := s.Counters()
		return harness.SlapdCounters{Binds: after.Binds - before.Binds, Searches: after.Searches - before.Searches}
	}
	if wrong, unknown, several := cost("alice"), cost("eve"), cost("twin"); wrong != unknown || wrong != several {
		t.Fatalf("a wrong password costs %+v, an unknown name %+v, a name of two %+v", wrong, unknown, several)
	}
}
