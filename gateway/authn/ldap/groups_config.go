package ldap

import (
	"slices"
	"strings"
)

// Nested says how groups within groups are found.
type Nested string

// The ways to find nested groups.
const (
	// NestedNone takes the groups that name the person and no others.
	NestedNone Nested = ""
	// NestedInChain lets Active Directory walk, by the matching rule
	// 1.2.840.113556.1.4.1941 (MS-ADTS section 3.1.1.3.4.4.3). Other servers do not
	// know it, and answer no groups.
	NestedInChain Nested = "in_chain"
	// NestedWalk asks for the groups of each group, up to MaxDepth and MaxGroups.
	NestedWalk Nested = "walk"
)

// Groups says how a person's groups are found. The zero Groups finds none.
type Groups struct {
	// MemberOf is the attribute of a person that has the DNs of groups, such as
	// "memberOf".
	MemberOf string
	// Filter finds groups below BaseDN instead, with %d for the person's DN and %s
	// for the value of the Login attribute: "(&(objectClass=groupOfNames)(member=%d))",
	// "(memberUid=%s)".
	Filter string
	// BaseDN is above all groups that count. It is needed for Filter, in_chain, and
	// if groups go by a name: a group somewhere else may have the same.
	BaseDN string
	Scope  Scope
	// Name is the attribute that groups go by, such as "cn"; empty for their DNs, in
	// the form of [CanonicalDN].
	Name   string
	Nested Nested
	// MaxDepth and MaxGroups bound the walk and what is read; defaults 10 and 1,000.
	// Somebody who is in more cannot log in: groups that were not read could be the
	// ones that forbid.
	MaxDepth, MaxGroups int
}

// check fills defaults in and says what is wrong.
func (g *Groups) check(say func(string, ...any)) {
	checkScope(&g.Scope, say)
	if g.MaxDepth == 0 {
		g.MaxDepth = 10
	}
	if g.MaxGroups == 0 {
		g.MaxGroups = 1000
	}
	if g.MaxDepth < 0 || g.MaxGroups < 0 {
		say("a limit of groups is negative")
	}
	if g.BaseDN != "" {
		if _, err := CanonicalDN(g.BaseDN); err != nil {
			say("Groups.BaseDN is no DN")
		}
	}
	if g.MemberOf != "" && !attributeName.MatchString(g.MemberOf) || g.Name != "" && !attributeName.MatchString(g.Name) {
		say("Groups.MemberOf and Groups.Name are names of attributes")
	}
	if g.Filter != "" {
		// Each mark has to stand in a value; which of the two it is does not matter.
		if _, err := checkFilter(strings.ReplaceAll(g.Filter, memberMark, loginMark), loginMark); err != nil {
			say("Groups.Filter, with %%d or %%s in the place of a value: %v", err)
		}
	}
	sources := 0
	for _, there := range []bool{g.MemberOf != "", g.Filter != "", g.Nested == NestedInChain} {
		if there {
			sources++
		}
	}
	switch {
	case !slices.Contains([]Nested{NestedNone, NestedInChain, NestedWalk}, g.Nested):
		say("Groups.Nested is %q, %q or %q is wanted", g.Nested, NestedInChain, NestedWalk)
	case sources > 1:
		say("MemberOf, Groups.Filter and in_chain exclude each other")
	case g.BaseDN == "" && (g.Filter != "" || g.Nested == NestedInChain || g.Name != ""):
		say("Groups.BaseDN is needed for Filter, in_chain and names")
	case g.Nested == NestedWalk && sources == 0:
		say("a walk needs MemberOf or Groups.Filter to begin with")
	case g.Nested == NestedWalk && g.Filter != "" && !strings.Contains(g.Filter, memberMark):
		say("a walk asks for the groups of groups, so Groups.Filter needs %%d")
	}
}
