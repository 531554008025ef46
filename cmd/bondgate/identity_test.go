package main

import (
	"testing"
)

// What the schema offers is read by a package that has words of its own for it.
func TestDirectoriesTakeTheWordsOfTheSchema(t *testing.T) {
	for sentence, groups := range map[string]LDAPGroups{
		"Active Directory's rule": {Nested: "in_chain", BaseDN: "dc=example,dc=org"},
		"a walk":                  {Nested: "walk", MemberOf: "memberOf", Scope: "one"},
		"the whole tree":          {Filter: "(member=%d)", BaseDN: "dc=example,dc=org", Scope: "sub"},
	} {
		t.Run(sentence, func(t *testing.T) {
			a := &App{identity: &identity{}}
			a.cfg.Identity.LDAP = []LDAPConfig{{
				Name: "corp", Servers: []string{"ldaps://dc.example.org"}, BindDN: "cn=gateway,dc=example,dc=org", BindPassword: "x",
				BaseDN: "dc=example,dc=org", Filter: "(sAMAccountName=%s)", Scope: "sub", Groups: groups,
			}}
			guard, err := a.guard()
			if err != nil {
				t.Fatal(err)
			}
			if err := a.openDirectories(guard); err != nil {
				t.Fatal(err)
			}
		})
	}
}
