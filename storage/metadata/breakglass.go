package metadata

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// AddBreakGlass adds a grant. Without an id, a subject, a project, a justification, a
// ticket, an end and a state it is policy.ErrInvalid; an id that is taken, and a
// project that is not there, are policy.ErrConflict and policy.ErrNotFound.
func (s *Store) AddBreakGlass(ctx context.Context, b policy.BreakGlass) error {
	b.Workspace = workspaceOf(b.Workspace)
	if b.ID == "" || b.Issuer == "" || b.Subject == "" || b.Kind == "" || len(b.Projects) == 0 || b.Justification == "" ||
		b.Ticket == "" || b.Expires.IsZero() || b.State == "" {
		return fmt.Errorf("metadata: a grant needs an id, a subject, projects, a justification, a ticket, an end and a state: %w", policy.ErrInvalid)
	}
	err := s.changeDirectory(ctx, glassPart(b), func(ctx context.Context, tx querier) error {
		for _, project := range b.Projects {
			if err := s.holdProject(ctx, tx, b.Workspace, project); err != nil {
				return err
			}
		}
		switch _, err := readGrant(ctx, tx, b.Workspace, b.ID, ""); {
		case err == nil:
			return policy.ErrConflict
		case !isNotFound(err):
			return err
		}
		body, err := json.Marshal(b)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, "INSERT INTO breakglass (workspace, id, body, created, until) VALUES ($1, $2, $3, $4, $5)",
			b.Workspace, b.ID, string(body), micros(b.Created), micros(untilOf(b)))
		return err
	})
	return wrap(err, "add grant %q", b.ID)
}

// ChangeBreakGlass changes a grant as change says, and answers what it is then. It
// fails with policy.ErrNotFound, or as change does. change may be called more than once.
func (s *Store) ChangeBreakGlass(ctx context.Context, workspace, id string, change func(*policy.BreakGlass) error) (policy.BreakGlass, error) {
	var b policy.BreakGlass
	workspace = workspaceOf(workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) (_ []part, err error) {
		if b, err = readGrant(ctx, tx, workspace, id, s.forUpdate()); err != nil {
			return nil, err
		}
		if err = change(&b); err != nil {
			return nil, err
		}
		return []part{glassPart(b)}, writeGrant(ctx, tx, b)
	})
	return b, wrap(err, "change grant %q", id)
}

// BreakGlass answers a grant, or fails with policy.ErrNotFound.
func (s *Store) BreakGlass(ctx context.Context, workspace, id string) (policy.BreakGlass, error) {
	b, err := readGrant(ctx, s.reads, workspaceOf(workspace), id, "")
	return b, wrap(err, "read grant %q", id)
}

// BreakGlasses lists the grants of a workspace, the latest made first, limit at most.
// With since it leaves out those that were over before.
func (s *Store) BreakGlasses(ctx context.Context, workspace string, since time.Time, limit int) ([]policy.BreakGlass, error) {
	rows, err := s.reads.rows(ctx, `SELECT workspace, body FROM breakglass WHERE workspace = $1 AND until > $2
		ORDER BY created DESC, id LIMIT $3`, workspaceOf(workspace), micros(since), limit)
	all, err := collect(rows, err, func(rows *sql.Rows) (policy.BreakGlass, error) { return scanGrant(rows.Scan) })
	return all, wrap(err, "list grants")
}

// OpenGlass is how many grants are in force at a moment, in all workspaces.
func (s *Store) OpenGlass(at time.Time) int {
	n := 0
	for _, set := range s.directory.current.Load().glass {
		for _, grants := range set {
			for _, b := range grants {
				if b.InForce(at) {
					n++
				}
			}
		}
	}
	return n
}

// glassPart is the grants of the workspace: they are few, and are read together.
func glassPart(b policy.BreakGlass) part { return part{changedBreakGlass, b.Workspace, b.ID} }

// untilOf is from when a grant can hold no more.
func untilOf(b policy.BreakGlass) time.Time {
	if b.State == policy.WaiverRejected {
		return b.Created
	}
	if !b.Ended.IsZero() && b.Ended.Before(b.Expires) {
		return b.Ended
	}
	return b.Expires
}

func scanGrant(scan func(...any) error) (b policy.BreakGlass, err error) {
	var body string
	if err = scan(&b.Workspace, &body); err == nil {
		err = json.Unmarshal([]byte(body), &b)
	}
	return b, err
}

func readGrant(ctx context.Context, q querier, workspace, id, lock string) (policy.BreakGlass, error) {
	return scanGrant(q.row(ctx, "SELECT workspace, body FROM breakglass WHERE workspace = $1 AND id = $2"+lock, workspace, id).Scan)
}

func writeGrant(ctx context.Context, tx querier, b policy.BreakGlass) error {
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return affectsOne(tx.exec(ctx, "UPDATE breakglass SET body = $3, until = $4 WHERE workspace = $1 AND id = $2",
		b.Workspace, b.ID, string(body), micros(untilOf(b))))
}

// endGrants ends what is left of grants whose subject or project goes away: whoever
// gets the name later has not asked for them.
func (s *Store) endGrants(ctx context.Context, tx querier, workspace string, of func(*policy.BreakGlass) bool) ([]part, error) {
	now := time.Now().UTC()
	rows, err := tx.rows(ctx, "SELECT workspace, body FROM breakglass WHERE workspace = $1 AND until > $2"+s.forUpdate(), workspace, micros(now))
	all, err := collect(rows, err, func(rows *sql.Rows) (policy.BreakGlass, error) { return scanGrant(rows.Scan) })
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, b := range all {
		if !of(&b) {
			continue
		}
		b.Ended = now
		if err := writeGrant(ctx, tx, b); err != nil {
			return nil, err
		}
		parts = append(parts, glassPart(b))
	}
	return parts, nil
}

// endGrantsOf ends the grants of one subject.
func (s *Store) endGrantsOf(ctx context.Context, tx querier, workspace string, kind policy.Kind, issuer, subject string) ([]part, error) {
	who := policy.Principal{Kind: kind, Issuer: issuer, ID: subject}
	return s.endGrants(ctx, tx, workspace, func(b *policy.BreakGlass) bool { return b.For(who) })
}

// endGrantsIn ends the grants for a project, those for others too: they were given for
// all of them together.
func (s *Store) endGrantsIn(ctx context.Context, tx querier, workspace, project string) ([]part, error) {
	return s.endGrants(ctx, tx, workspace, func(b *policy.BreakGlass) bool { return slices.Contains(b.Projects, project) })
}

// grantee is who has a grant.
type grantee struct {
	kind policy.Kind
	identity
}

// glassSet holds the approved grants of a workspace by who has them.
type glassSet map[grantee][]policy.BreakGlass

// readGlass reads the grants that may hold, of one workspace or of all when it is empty.
func readGlass(ctx context.Context, q querier, workspace string) (map[string]glassSet, error) {
	query, args := "SELECT workspace, body FROM breakglass WHERE until > $1", []any{micros(time.Now())}
	if workspace != "" {
		query, args = query+" AND workspace = $2", append(args, workspace)
	}
	rows, err := q.rows(ctx, query, args...)
	all, err := collect(rows, err, func(rows *sql.Rows) (policy.BreakGlass, error) { return scanGrant(rows.Scan) })
	out := map[string]glassSet{}
	for _, b := range all {
		if b.State != policy.WaiverApproved {
			continue
		}
		set := out[b.Workspace]
		if set == nil {
			set = glassSet{}
			out[b.Workspace] = set
		}
		who := grantee{b.Kind, identity{b.Issuer, b.Subject}}
		set[who] = append(set[who], b)
	}
	return out, err
}

// BreakGlass answers the grant that a principal has in a project: of several the one
// that lasts longest. Somebody who is disabled, and a person whom the workspace does
// not know, have none; nor has anybody that of another whom they are linked with.
func (v *view) BreakGlass(p policy.Principal, project string, at time.Time) (policy.BreakGlass, bool) {
	if len(v.glass) == 0 || p.Anonymous() {
		return policy.BreakGlass{}, false
	}
	workspace := workspaceOf(p.Workspace)
	who := grantee{p.Kind, identity{p.Issuer, p.ID}}
	if p.Kind == policy.KindRobot {
		id, _ := credentialID(p.Credential, policy.CredentialRobot)
		robot := v.robots[numbered{workspace, id}]
		if robot == nil {
			return policy.BreakGlass{}, false
		}
		who.name = robot.fullName // without what names of robots begin with here
	}
	var found *policy.BreakGlass
	grants := v.glass[workspace][who]
	for i := range grants {
		b := &grants[i]
		if !b.InForce(at) || !slices.Contains(b.Projects, project) {
			continue
		}
		if found == nil || cmp.Or(b.Expires.Compare(found.Expires), cmp.Compare(found.ID, b.ID)) > 0 {
			found = b
		}
	}
	if found == nil || v.Subject(p, project, at).Disabled {
		return policy.BreakGlass{}, false
	}
	if p.Kind == policy.KindUser {
		if _, known := v.people[personKey{workspace, who.identity}]; !known {
			return policy.BreakGlass{}, false
		}
	}
	return *found, true
}
