package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/test/harness"
)

func TestGroups(t *testing.T) {
	s := harness.StartSlapd(t, tree())
	dn := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, "cn="+n+","+groups)
		}
		return out
	}
	const members = "(&(objectClass=groupOfNames)(member=%d))"
	for _, c := range []struct {
		sentence string
		groups   Groups
		alice    []string
		bob      []string
	}{
		{"none are asked for", Groups{}, nil, nil},
		{"memberOf, as DNs", Groups{MemberOf: "memberOf"}, dn("payments"), append([]string{"cn=admins,ou=others," + harness.SlapdSuffix}, dn("others")...)},
		{"memberOf, below a base", Groups{MemberOf: "MEMBEROF", BaseDN: groups}, dn("payments"), dn("others")},
		{"memberOf, as names below a base: the same name elsewhere does not count", Groups{MemberOf: "memberOf", BaseDN: groups, Name: "cn"}, []string{"payments"}, []string{"others"}},
		{"memberOf, nested in a circle", Groups{MemberOf: "memberOf", Nested: NestedWalk}, dn("all", "payments", "platform"), append([]string{"cn=admins,ou=others," + harness.SlapdSuffix}, dn("others")...)},
		{"searched by the person's DN", Groups{Filter: members, BaseDN: groups}, dn("payments"), dn("others")},
		{"searched, as names", Groups{Filter: members, BaseDN: groups, Name: "cn"}, []string{"payments"}, []string{"others"}},
		{"searched one level deep", Groups{Filter: members, BaseDN: harness.SlapdSuffix, Scope: ScopeOne}, nil, nil},
		{"searched by the login name", Groups{Filter: "(&(objectClass=posixGroup)(memberUid=%s))", BaseDN: groups, Name: "cn"}, []string{"posix"}, []string{"posix"}},
		{"searched by either", Groups{Filter: "(|(memberUid=%s)(member=%d))", BaseDN: groups, Name: "cn"}, []string{"payments", "posix"}, []string{"others", "posix"}},
		{"searched, nested in a circle", Groups{Filter: members, BaseDN: groups, Name: "cn", Nested: NestedWalk}, []string{"all", "payments", "platform"}, []string{"others"}},
		{"a rule that the server does not know finds none", Groups{Nested: NestedInChain, BaseDN: groups}, nil, nil},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := provider(t, config(t, s, func(cfg *Config) { cfg.Groups = c.groups }))
			for name, want := range map[string][]string{"alice": c.alice, "bob": c.bob} {
				password := map[string]string{"alice": "correct horse", "bob": "battery staple"}[name]
				who, err := p.Authenticate(t.Context(), "default", name, password)
				if err != nil || !slices.Equal(who.Groups, want) {
					t.Errorf("%s is in %v (%v), want %v", name, who.Groups, err, want)
				}
			}
		})
	}
}

// A person who is in more groups than may be read, or in groups that cannot be
// read, is refused: the group that is missing may be the one that forbids.
func TestTooManyGroupsAreNeverNone(t *testing.T) {
	var more strings.Builder
	more.WriteString(tree())
	above := "uid=bob," + people
	for i := range 120 {
		more.WriteString(groupOf(fmt.Sprintf("wide-%d", i), "uid=bob,"+people))
		deep := fmt.Sprintf("deep-%d", i)
		more.WriteString(groupOf(deep, above))
		above = "cn=" + deep + "," + groups
	}
	s := harness.StartSlapd(t, more.String())
	const members = "(&(objectClass=groupOfNames)(member=%d))"
	for _, c := range []struct {
		sentence string
		groups   Groups
		change   func(*Config)
		want     int // 0: refused
	}{
		{"as many as there are", Groups{Filter: members, BaseDN: groups, MaxGroups: 122}, nil, 122},
		{"one less", Groups{Filter: members, BaseDN: groups, MaxGroups: 121}, nil, 0},
		{"memberOf, as many as there are", Groups{MemberOf: "memberOf", BaseDN: groups, MaxGroups: 123}, nil, 122},
		{"memberOf, one less", Groups{MemberOf: "memberOf", MaxGroups: 122}, nil, 0},
		{"a walk that is deep enough", Groups{Filter: members, BaseDN: groups, Nested: NestedWalk, MaxDepth: 200}, nil, 241},
		{"a walk that is not", Groups{Filter: members, BaseDN: groups, Nested: NestedWalk}, nil, 0},
		{"a walk by memberOf that is not", Groups{MemberOf: "memberOf", BaseDN: groups, Nested: NestedWalk}, nil, 0},
		{"a walk that meets too many", Groups{Filter: members, BaseDN: groups, Nested: NestedWalk, MaxDepth: 200, MaxGroups: 240}, nil, 0},
		{"a base that is not there", Groups{Filter: members, BaseDN: "ou=nowhere," + harness.SlapdSuffix}, nil, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			p := provider(t, config(t, s, func(cfg *Config) { cfg.Groups = c.groups }))
			for range 2 {
				who, err := p.Authenticate(t.Context(), "default", "bob", "battery staple")
				switch {
				case c.want == 0 && (!errors.Is(err, policy.ErrUnavailable) || !who.Anonymous()):
					t.Fatal(len(who.Groups), err)
				case c.want != 0 && (err != nil || len(who.Groups) != c.want):
					t.Fatal(len(who.Groups), err)
				}
			}
		})
	}
	t.Run("the server's own limit", func(t *testing.T) {
		s.Configure("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcSizeLimit\nolcSizeLimit: 50\n")
		p := provider(t, config(t, s, func(cfg *Config) { cfg.Groups = Groups{Filter: members, BaseDN: groups} }))
		for range 2 { // the connection on which it happened is used no more
			if who, err := p.Authenticate(t.Context(), "default", "bob", "battery staple"); !errors.Is(err, policy.ErrUnavailable) {
				t.Fatal(len(who.Groups), err)
			}
		}
		if who, err := p.Authenticate(t.Context(), "default", "alice", "correct horse"); err != nil || len(who.Groups) != 1 {
			t.Fatal(who, err)
		}
	})
}

// Active Directory's names, on OpenLDAP with its attributes: the login by
// sAMAccountName, the id that never changes, the flags of the account.
func TestWindowsAccounts(t *testing.T) {
	raw := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	account := func(name string, more ...string) string {
		return human("w-"+name, "battery staple", append([]string{"objectClass: windowsAccount", "sAMAccountName: " + name}, more...)...)
	}
	s := harness.StartSlapd(t, tree()+
		account("Normal", "userAccountControl: 512", "objectGUID: "+raw, "accountExpires: 9223372036854775807")+
		account("Never", "userAccountControl: 66048", "accountExpires: 0")+
		account("Disabled", "userAccountControl: 514")+
		account("DisabledHigh", "userAccountControl: -2147483646")+
		account("Expired", "userAccountControl: 512", "accountExpires: 132223104000000000")+
		account("Later", "userAccountControl: 512", "accountExpires: 155378975999999999"))
	windows := func(c *Config) { c.Filter = "(&(objectClass=windowsAccount)(sAMAccountName=%s))" }
	p := provider(t, config(t, s, windows))
	for name, want := range map[string]error{
		"normal": nil, "never": nil, "later": nil, "disabled": policy.ErrUnauthenticated,
		"disabledhigh": policy.ErrUnauthenticated, "expired": policy.ErrUnauthenticated,
	} {
		t.Run(name, func(t *testing.T) {
			who, err := p.Authenticate(t.Context(), "default", strings.ToUpper(name), "battery staple")
			if !errors.Is(err, want) || err == nil && who.ID != name {
				t.Fatalf("%+v %v", who, err)
			}
			again, err := p.Refresh(t.Context(), policy.Principal{Issuer: "ldap:corp", ID: name, Kind: policy.KindUser})
			if !errors.Is(err, want) || err == nil && again.ID != name {
				t.Fatalf("%+v %v", again, err)
			}
		})
	}
	t.Run("the id is objectGUID", func(t *testing.T) {
		p := provider(t, config(t, s, windows, func(c *Config) { c.Attributes.ID = "objectGUID" }))
		who, err := p.Authenticate(t.Context(), "default", "normal", "battery staple")
		if err != nil || who.ID != "00112233-4455-6677-8899-aabbccddeeff" || who.Name != "Normal" {
			t.Fatalf("%+v %v", who, err)
		}
		if again, err := p.Refresh(t.Context(), who); err != nil || again.ID != who.ID {
			t.Fatal(again, err)
		}
		if _, err := p.Authenticate(t.Context(), "default", "never", "battery staple"); !errors.Is(err, policy.ErrUnauthenticated) {
			t.Fatalf("somebody without the id: %v", err)
		}
	})
}

func TestEntriesThatWouldMislead(t *testing.T) {
	cfg := Config{Attributes: Attributes{Login: "uid", ID: "uid", Email: "mail", RealName: "cn"}, Groups: Groups{MemberOf: "memberOf"}}
	if err := func() error { _, err := New(cfg); return err }(); err == nil {
		t.Fatal("an empty configuration was taken")
	}
	if p, err := cfg.fact(t, "UID", "Alice"); err != nil || p.ID != "alice" || p.Login != "Alice" {
		t.Fatal(p, err)
	}
	if _, err := cfg.fact(t, "uid", "alice", "memberOf;range=0-1499", "cn=a"); !errors.Is(err, errTooMany) {
		t.Fatalf("a range of groups was taken for all, or for none: %v", err)
	}
	for sentence, values := range map[string][]string{
		"no id":          {"mail", "a@b"},
		"an empty id":    {"uid", ""},
		"control in it":  {"uid", "ali\nce"},
		"a long id":      {"uid", strings.Repeat("a", 256)},
		"no text":        {"uid", "\xff\xfe"},
		"an option only": {"uid;lang-en", "alice"},
	} {
		if p, err := cfg.fact(t, values...); !errors.Is(err, errEntry) {
			t.Errorf("%s: %+v %v", sentence, p, err)
		}
	}
	for sentence, values := range map[string][]string{
		"flags that are no number":        {"userAccountControl", "x"},
		"an expiry that is no number":     {"accountExpires", "soon"},
		"a negative expiry":               {"accountExpires", "-1"},
		"locked by 389":                   {"nsAccountLock", "TRUE"},
		"locked by 389 in other words":    {"nsAccountLock", "yes"},
		"locked by a policy":              {"pwdAccountLockedTime", "000001010000Z"},
		"locked by a policy, empty value": {"pwdAccountLockedTime", ""},
	} {
		if p, err := cfg.fact(t, append(values, "uid", "alice")...); err != nil || p.Disabled == "" {
			t.Errorf("%s: %+v %v", sentence, p, err)
		}
	}
	for _, open := range [][]string{{"userAccountControl", "512"}, {"nsAccountLock", "false"}, {"accountExpires", "0"}} {
		if p, err := cfg.fact(t, append(open, "uid", "alice")...); err != nil || p.Disabled != "" {
			t.Errorf("%v: %+v %v", open, p, err)
		}
	}
}

// fact reads an entry of names and values in turn.
func (c *Config) fact(t *testing.T, pairs ...string) (Person, error) {
	t.Helper()
	e := ldap.NewEntry("uid=alice", nil)
	for i := 0; i < len(pairs); i += 2 {
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(pairs[i], []string{pairs[i+1]}))
	}
	limited := *c
	limited.Now = (&clock{}).now
	return limited.person(e)
}
