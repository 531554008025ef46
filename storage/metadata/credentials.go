package metadata

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// numbered is a number in a workspace.
type numbered struct {
	workspace string
	id        int64
}

// reach is what grants give in each project, those for any project included.
type reach struct {
	projects map[string][]policy.Grant
	// elsewhere is for projects that no grant names.
	elsewhere []policy.Grant
}

func newReach(grants []RobotGrant) reach {
	r := reach{projects: map[string][]policy.Grant{}}
	for _, g := range grants {
		if g.Project != AnyProject {
			r.projects[g.Project] = nil
		}
	}
	for _, g := range grants {
		given := policy.Grant{Repositories: g.Repositories, Rights: g.Rights}
		if g.Project != AnyProject {
			r.projects[g.Project] = append(r.projects[g.Project], given)
			continue
		}
		r.elsewhere = append(r.elsewhere, given)
		for project := range r.projects {
			r.projects[project] = append(r.projects[project], given)
		}
	}
	return r
}

func (r *reach) in(project string) []policy.Grant {
	if grants, ok := r.projects[project]; ok {
		return grants
	}
	return r.elsewhere
}

// robotFacts is what the view knows of a robot.
type robotFacts struct {
	robot    policy.Robot
	fullName string
	disabled bool
	expires  time.Time
	reach    reach
}

// tokenFacts is what the view knows of an access token.
type tokenFacts struct {
	owner   identity
	expires time.Time
	limited bool
	reach   reach
}

// ended reports whether something that expires has done so; zero is never.
func ended(expires, at time.Time) bool { return !expires.IsZero() && !at.Before(expires) }

func robotPart(workspace string, id int64) part {
	return part{changedRobot, workspace, strconv.FormatInt(id, 10)}
}

func tokenPart(workspace string, id int64) part {
	return part{changedAccessToken, workspace, strconv.FormatInt(id, 10)}
}

// numberOf reads the key of a change.
func numberOf(p part) numbered {
	id, err := strconv.ParseInt(p.key, 10, 64)
	if err != nil {
		id = -1 // nothing has it
	}
	return numbered{p.workspace, id}
}

// oneOrAllByID is the condition for the row that the key of a change names, or
// for all rows when it is empty.
func oneOrAllByID(workspace, key string) (where string, args []any) {
	if key == "" {
		return "", nil
	}
	at := numberOf(part{workspace: workspace, key: key})
	return " WHERE workspace = $1 AND id = $2", []any{at.workspace, at.id}
}

// readRobots reads what the view knows of robots: all, or one by the key of its change.
func readRobots(ctx context.Context, q querier, workspace, key string) (map[numbered]*robotFacts, error) {
	where, args := oneOrAllByID(workspace, key)
	rows, err := q.rows(ctx, "SELECT "+robotColumns+" FROM robots"+where, args...)
	all := map[numbered]*robotFacts{}
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		r, err := scanRobot(rows.Scan)
		all[numbered{r.Workspace, r.ID}] = &robotFacts{
			robot:    policy.Robot{Name: r.Name, Project: r.Project, Creator: r.Creator},
			fullName: r.FullName(), disabled: r.Disabled, expires: r.Expires, reach: newReach(r.Grants),
		}
		return struct{}{}, err
	})
	return all, err
}

// readTokens reads what the view knows of access tokens: all, or one by the key of its change.
func readTokens(ctx context.Context, q querier, workspace, key string) (map[numbered]*tokenFacts, error) {
	where, args := oneOrAllByID(workspace, key)
	rows, err := q.rows(ctx, "SELECT workspace, id, issuer, owner, limited, limits, expires FROM access_tokens"+where, args...)
	all := map[numbered]*tokenFacts{}
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var at numbered
		var t tokenFacts
		var limits string
		var grants []RobotGrant
		var expires int64
		if err := rows.Scan(&at.workspace, &at.id, &t.owner.issuer, &t.owner.name, &t.limited, &limits, &expires); err != nil {
			return struct{}{}, err
		}
		err := decoded("limits", limits, &grants)
		t.expires, t.reach = fromMicros(expires), newReach(grants)
		all[at] = &t
		return struct{}{}, err
	})
	return all, err
}
