package metadata

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"

	"github.com/bondgate/bondgate/policy"
)

// standing is what one member has in a project: shipped roles in all of it, and
// whatever is not just that.
type standing struct {
	roles  roles
	grants []grant
}

// grant is a role that somebody made, or any role in a part of a project. The
// rights of a role that was made are the view's to say.
type grant struct {
	repositories, role string
	made               bool
}

func (s *standing) add(m Member) {
	role, shipped := memberRole(m.Role)
	if shipped && m.Repositories == "" {
		s.roles |= role
		return
	}
	s.grants = append(s.grants, grant{repositories: m.Repositories, role: m.Role, made: !shipped})
}

// projectFacts is what the view knows of a project.
type projectFacts struct {
	project policy.Project
	users   map[identity]*standing
	// groups are under their DN when they have one, else under their name.
	groups map[identity]*standing
	// robots are under their full names.
	robots map[string]*standing
	// workloads are under their subjects, claims under a claim that they must have.
	workloads map[identity]*standing
	claims    map[claimed][]*claimant
}

// claimed is a claim with a value, of an issuer's tokens.
type claimed struct{ issuer, claim, value string }

// claimant is a grant for whoever has all the claims.
type claimant struct {
	id     int64
	claims map[string]string
	standing
}

// add files a grant. dn is that of its group.
func (p *projectFacts) add(m Member, dn string) {
	who := identity{m.Issuer, m.Name}
	switch m.Kind {
	case MemberUser:
		under(&p.users, who).add(m)
	case MemberGroup:
		if dn != "" {
			who.name = dn
		}
		under(&p.groups, who).add(m)
	case MemberRobot:
		under(&p.robots, m.Name).add(m)
	case MemberWorkload:
		if len(m.Claims) == 0 {
			under(&p.workloads, who).add(m)
			return
		}
		if p.claims == nil {
			p.claims = map[claimed][]*claimant{}
		}
		c := &claimant{id: m.ID, claims: m.Claims}
		c.add(m)
		key := keyClaim(m.Issuer, m.Claims)
		p.claims[key] = append(p.claims[key], c)
	}
}

func under[K comparable](m *map[K]*standing, key K) *standing {
	if *m == nil {
		*m = map[K]*standing{}
	}
	s := (*m)[key]
	if s == nil {
		s = &standing{}
		(*m)[key] = s
	}
	return s
}

// keyClaim chooses the claim that a grant is filed under: the one with the
// longest value, which the fewest tokens have ("acme/web" before "acme").
func keyClaim(issuer string, claims map[string]string) claimed {
	var key claimed
	for claim, value := range claims {
		if len(value) > len(key.value) || len(value) == len(key.value) && claim < key.claim {
			key = claimed{issuer, claim, value}
		}
	}
	return key
}

// claimTexts calls fn with each text that a claim's value stands for, until fn
// answers true: a list stands for each of its elements.
func claimTexts(value any, fn func(string) bool) bool {
	switch v := value.(type) {
	case string:
		return fn(v)
	case bool:
		return fn(strconv.FormatBool(v))
	case float64:
		return fn(strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		for _, element := range v {
			if text, ok := element.(string); ok && fn(text) {
				return true
			}
		}
	case []string:
		for _, element := range v {
			if fn(element) {
				return true
			}
		}
	}
	return false
}

// claimants are the grants whose claims a workload has, each once, in one order:
// a decision's record must not depend on the order of a map.
func (p *projectFacts) claimants(who *policy.Principal) []*claimant {
	var found []*claimant
	if len(p.claims) == 0 {
		return nil
	}
	for claim, value := range who.Claims {
		claimTexts(value, func(text string) bool {
			for _, c := range p.claims[claimed{who.Issuer, claim, text}] {
				if c.met(who.Claims) && !slices.Contains(found, c) {
					found = append(found, c)
				}
			}
			return false
		})
	}
	slices.SortFunc(found, func(a, b *claimant) int { return cmp.Compare(a.id, b.id) })
	return found
}

// met reports whether a token has all the claims.
func (c *claimant) met(claims map[string]any) bool {
	for claim, want := range c.claims {
		if !claimTexts(claims[claim], func(text string) bool { return text == want }) {
			return false
		}
	}
	return true
}

const (
	grantsSelect = `SELECT m.workspace, m.id, m.project, m.issuer, m.kind, m.name, m.role, m.repositories, m.claims,
			COALESCE(g.dn, '')
		FROM members m LEFT JOIN user_groups g
			ON m.kind = 'group' AND g.workspace = m.workspace AND g.issuer = m.issuer AND g.name = m.name`
	// One order, whatever the plan: a record of a decision says the grants.
	grantsOrder        = ` ORDER BY m.workspace, m.project, m.issuer, m.kind, m.name, m.repositories`
	grantsQuery        = grantsSelect + grantsOrder
	projectGrantsQuery = grantsSelect + ` WHERE m.workspace = $1 AND m.project = $2` + grantsOrder
)

// readProjects reads what the view knows of projects, members included: all, or one.
func readProjects(ctx context.Context, q querier, workspace, name string) (map[named]*projectFacts, error) {
	all := map[named]*projectFacts{}
	where, args := oneOrAll(workspace, name)
	rows, err := q.rows(ctx, "SELECT "+projectColumns+" FROM projects"+where, args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		p, err := scanProject(rows.Scan)
		all[named{p.Workspace, p.Name}] = &projectFacts{project: p.Project}
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	query := grantsQuery
	if name != "" {
		query = projectGrantsQuery
	}
	rows, err = q.rows(ctx, query, args...)
	_, err = collect(rows, err, func(rows *sql.Rows) (_ struct{}, err error) {
		var dn string
		m, err := scanMember(func(into ...any) error { return rows.Scan(append(into, &dn)...) })
		if facts := all[named{m.Workspace, m.Project}]; err == nil && facts != nil {
			facts.add(m, dn)
		}
		return struct{}{}, err
	})
	return all, err
}
