package ldap

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// inChain is the matching rule by which Active Directory walks the whole chain of
// members (LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS section 3.1.1.3.4.4.3).
const inChain = "1.2.840.113556.1.4.1941"

// askedAtOnce is for how many groups one search of a walk asks.
const askedAtOnce = 50

// found are groups by the canonical form of their DN.
type found map[string]group

type group struct{ dn, name string }

// groups finds a person's groups, over a connection that may read them. Groups
// that cannot all be read are an error: one that is missing may be the one that
// matters.
func (c *Config) groups(ctx context.Context, on *conn, p Person) ([]string, error) {
	g := &c.Groups
	all := found{}
	var next []group
	var err error
	switch {
	case g.Nested == NestedInChain:
		_, err = c.ask(ctx, on, "(member:"+inChain+":="+ldap.EscapeFilter(p.DN)+")", all)
	case g.Filter != "":
		next, err = c.ask(ctx, on, fill(g.Filter, p.Login, p.DN), all)
	case g.MemberOf != "":
		next, err = c.note(p.memberOf, all)
	}
	for depth := 1; err == nil && g.Nested == NestedWalk && len(next) > 0; depth++ {
		if depth > g.MaxDepth {
			err = fmt.Errorf("groups are nested deeper than %d: %w", g.MaxDepth, errTooMany)
			break
		}
		next, err = c.above(ctx, on, next, all)
	}
	if err != nil {
		return nil, fmt.Errorf("reading groups: %w", err)
	}
	return g.names(all)
}

// ask searches for groups, adds them to all, and answers those that are new.
func (c *Config) ask(ctx context.Context, on *conn, filter string, all found) (fresh []group, err error) {
	attributes := []string{"1.1"} // none, RFC 4511 section 4.5.1.8
	if c.Groups.Name != "" {
		attributes = []string{c.Groups.Name}
	}
	entries, err := on.search(ctx, c.Timeout, c.Groups.BaseDN, scopeOf(c.Groups.Scope), filter, c.Groups.MaxGroups, attributes)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		g := group{dn: e.DN}
		if c.Groups.Name != "" {
			if g.name, err = single(e, c.Groups.Name); err != nil {
				// Its text only: a group without a name is no refusal of the person.
				return nil, fmt.Errorf("%w: group %s: %s", errAnswer, e.DN, err.Error())
			}
		}
		if fresh, err = c.add(g, fresh, all); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// note takes groups by their DNs, out of a memberOf attribute.
func (c *Config) note(dns []string, all found) (fresh []group, err error) {
	for _, dn := range dns {
		if fresh, err = c.add(group{dn: dn}, fresh, all); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// add adds a group to all and, if it is new, to fresh. That ends circles.
func (c *Config) add(g group, fresh []group, all found) ([]group, error) {
	key, err := CanonicalDN(g.dn)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if _, known := all[key]; known {
		return fresh, nil
	}
	if len(all) >= c.Groups.MaxGroups {
		return nil, errTooMany
	}
	all[key] = g
	return append(fresh, g), nil
}

// above finds the groups that have these as members.
func (c *Config) above(ctx context.Context, on *conn, of []group, all found) (fresh []group, err error) {
	if c.Groups.MemberOf == "" {
		for some := range slices.Chunk(of, askedAtOnce) {
			var filter strings.Builder
			for _, g := range some {
				// A group has no login; a filter that asks for one finds nothing by it.
				filter.WriteString(fill(c.Groups.Filter, "", g.dn))
			}
			more, err := c.ask(ctx, on, "(|"+filter.String()+")", all)
			if err != nil {
				return nil, err
			}
			fresh = append(fresh, more...)
		}
		return fresh, nil
	}
	for _, g := range of {
		entries, err := on.search(ctx, c.Timeout, g.dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, []string{c.Groups.MemberOf})
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			continue // a reference to a group that is gone: it is in nothing
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			dns, err := whole(e, c.Groups.MemberOf)
			if err != nil {
				return nil, err
			}
			more, err := c.note(dns, all)
			if err != nil {
				return nil, err
			}
			fresh = append(fresh, more...)
		}
	}
	return fresh, nil
}

// names is what the groups are called, in order and each once: those below BaseDN.
func (g *Groups) names(all found) ([]string, error) {
	var base *ldap.DN
	if g.BaseDN != "" {
		var err error
		if base, err = ldap.ParseDN(g.BaseDN); err != nil {
			return nil, err
		}
	}
	names := map[string]struct{}{}
	for key, one := range all {
		dn, err := ldap.ParseDN(one.dn)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		if base != nil && !base.AncestorOfFold(dn) {
			continue
		}
		switch {
		case g.Name == "":
			names[key] = struct{}{}
		case one.name != "":
			names[one.name] = struct{}{}
		default:
			name, err := ofDN(dn, g.Name)
			if err != nil {
				return nil, err
			}
			names[name] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

var errGroupName = fmt.Errorf("%w: a group of memberOf is not called by the attribute that groups go by: use DNs, or a search for groups", errAnswer)

// ofDN is the value of the attribute in the first part of a DN.
func ofDN(dn *ldap.DN, attribute string) (string, error) {
	if len(dn.RDNs) == 0 || len(dn.RDNs[0].Attributes) != 1 || !strings.EqualFold(dn.RDNs[0].Attributes[0].Type, attribute) {
		return "", errGroupName
	}
	return dn.RDNs[0].Attributes[0].Value, nil
}

func scopeOf(s Scope) int {
	if s == ScopeOne {
		return ldap.ScopeSingleLevel
	}
	return ldap.ScopeWholeSubtree
}
