package metadata

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Robot is an account for a machine: with a secret in the place of a password,
// and with grants of its own in the place of roles. A robot of a project reaches
// that project and ends with it; one of the system reaches what it names.
//
// Its creator is told and no more: a robot goes on when its creator is disabled
// or gone, as Harbor's do. What runs in the night must not stop because somebody left.
type Robot struct {
	// ID is known by outside and is never given to another.
	ID        int64  `json:"id"`
	Workspace string `json:"workspace"`
	// Project is empty for a robot of the system.
	Project     string    `json:"project,omitempty"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Disabled    bool      `json:"disabled"`
	Created     time.Time `json:"created,omitzero"`
	// Expires is when it stops to be good for anything; zero is never.
	Expires       time.Time    `json:"expires,omitzero"`
	CreatorIssuer string       `json:"creator_issuer,omitempty"`
	Creator       string       `json:"creator,omitempty"`
	Grants        []RobotGrant `json:"grants"`
	// Permissions is the list as Harbor's API was given it, kept and answered.
	Permissions json.RawMessage `json:"permissions,omitempty"`
	// LastUsed is to the minute; zero for never.
	LastUsed time.Time `json:"last_used,omitzero"`
}

// FullName is the robot's name within its workspace, without the prefix that
// tells robots from people: "payments+ci", or "ci" for one of the system.
func (r Robot) FullName() string {
	if r.Project == "" {
		return r.Name
	}
	return r.Project + "+" + r.Name
}

// robotNames takes a full name apart.
func robotNames(full string) (project, name string) {
	if project, name, ok := strings.Cut(full, "+"); ok {
		return project, name
	}
	return "", full
}

// AnyProject is the project of a grant that reaches all of them.
const AnyProject = "*"

// RobotGrant is what a robot may do somewhere, or how far an access token reaches.
type RobotGrant struct {
	// Project is [AnyProject] for all; only robots of the system and access tokens
	// may have that.
	Project string `json:"project"`
	// Repositories is a pattern of full names; empty is the whole project with its settings.
	Repositories string   `json:"repositories,omitempty"`
	Rights       []string `json:"rights"`
}

// RobotQuery is a page of robots. It is sorted by id, name, created, expires or
// last_used; by project and name without a key.
type RobotQuery struct {
	Page
	Name Text
	// Project is one project, "" those of the system; nil is all.
	Project  *string
	Disabled *bool
}

// CreateRobot adds a robot with the hash of its secret and answers it with its
// number. A name that is taken in the project is policy.ErrConflict; a project
// that it belongs to or names, and that is not there, is policy.ErrNotFound.
func (s *Store) CreateRobot(ctx context.Context, r Robot, secretHash []byte) (Robot, error) {
	r.Workspace = workspaceOf(r.Workspace)
	if r.Created.IsZero() {
		r.Created = time.Now()
	}
	row, err := newRobotRow(&r)
	if err == nil && len(secretHash) == 0 {
		err = fmt.Errorf("a robot needs a secret: %w", policy.ErrInvalid)
	}
	if err != nil {
		return Robot{}, wrap(err, "create robot %q", r.FullName())
	}
	err = s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		err := s.holdGranted(ctx, tx, r.Workspace, r.Project, r.Grants)
		if err != nil {
			return nil, err
		}
		if r.ID, err = number(ctx, tx, numberRobot); err != nil {
			return nil, err
		}
		_, err = tx.exec(ctx, `INSERT INTO robots (workspace, id, project, name, description, disabled, created, expires,
				creator_issuer, creator, grants, permissions, secret, old_secret, old_until, generation, last_used)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, 0, 0, 0)`,
			r.Workspace, r.ID, r.Project, r.Name, r.Description, r.Disabled, micros(r.Created), micros(r.Expires),
			r.CreatorIssuer, r.Creator, row.grants, row.permissions, secretHash)
		return []part{robotPart(r.Workspace, r.ID)}, err
	})
	if err != nil {
		return Robot{}, wrap(err, "create robot %q", r.FullName())
	}
	r.Created, r.Expires, r.LastUsed = fromMicros(micros(r.Created)), fromMicros(micros(r.Expires)), time.Time{}
	return r, nil
}

// UpdateRobot replaces the description, the grants, the permissions, the end and
// whether it is disabled, of a robot that is found by its number. Disabling ends
// what was got with its secret for good.
func (s *Store) UpdateRobot(ctx context.Context, r Robot) error {
	r.Workspace = workspaceOf(r.Workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		was, err := readRobot(ctx, tx, r.Workspace, byID+s.forUpdate(), r.ID)
		if err != nil {
			return nil, err
		}
		r.Project, r.Name = was.Project, was.Name
		row, err := newRobotRow(&r)
		if err != nil {
			return nil, err
		}
		if err := s.holdGranted(ctx, tx, r.Workspace, r.Project, r.Grants); err != nil {
			return nil, err
		}
		ended := 0
		if r.Disabled && !was.Disabled {
			ended = 1
		}
		_, err = tx.exec(ctx, `UPDATE robots SET description = $3, disabled = $4, expires = $5, grants = $6,
				permissions = $7, generation = generation + $8 WHERE workspace = $1 AND id = $2`,
			r.Workspace, r.ID, r.Description, r.Disabled, micros(r.Expires), row.grants, row.permissions, ended)
		return []part{robotPart(r.Workspace, r.ID)}, err
	})
	return wrap(err, "update robot %d", r.ID)
}

// DeleteRobot removes a robot with its memberships.
func (s *Store) DeleteRobot(ctx context.Context, workspace string, id int64) error {
	workspace = workspaceOf(workspace)
	err := s.change(ctx, func(ctx context.Context, tx querier) ([]part, error) {
		r, err := readRobot(ctx, tx, workspace, byID+s.forUpdate(), id)
		if err != nil {
			return nil, err
		}
		if _, err := tx.exec(ctx, "DELETE FROM robots WHERE workspace = $1 AND id = $2", workspace, id); err != nil {
			return nil, err
		}
		parts, err := dropMember(ctx, tx, workspace, MemberRobot, RobotIssuer, r.FullName())
		if err != nil {
			return nil, err
		}
		glass, err := s.endGrantsOf(ctx, tx, workspace, policy.KindRobot, RobotIssuer, r.FullName())
		return append(append(parts, robotPart(workspace, id)), glass...), err
	})
	return wrap(err, "delete robot %d", id)
}

// Robots answers a page of a workspace's robots and how many there are on all pages.
func (s *Store) Robots(ctx context.Context, workspace string, q RobotQuery) ([]Robot, int, error) {
	l := &listing{
		columns: robotColumns, from: "robots", order: "project, name",
		sorts: map[string]string{
			"id": "id", "name": "name", "created": "created", "expires": "expires", "last_used": "last_used",
		},
	}
	l.equal("workspace", workspaceOf(workspace))
	if q.Project != nil {
		l.equal("project", *q.Project)
	}
	l.text("name", q.Name)
	l.flag("disabled", q.Disabled)
	all, total, err := list(ctx, s, l, q.Page, scanRobot)
	return all, total, wrap(err, "list robots")
}

// RobotByID answers one robot, or policy.ErrNotFound.
func (s *Store) RobotByID(ctx context.Context, workspace string, id int64) (Robot, error) {
	r, err := readRobot(ctx, s.reads, workspaceOf(workspace), byID, id)
	return r, wrap(err, "robot %d", id)
}

// RobotByName answers one robot of a project, or of the system when that is
// empty, or policy.ErrNotFound.
func (s *Store) RobotByName(ctx context.Context, workspace, project, name string) (Robot, error) {
	r, err := readRobot(ctx, s.reads, workspaceOf(workspace), robotByName, project, name)
	return r, wrap(err, "robot %q of project %q", name, project)
}

const (
	robotByName  = "project = $2 AND name = $3"
	robotColumns = `workspace, id, project, name, description, disabled, created, expires,
		creator_issuer, creator, grants, permissions, last_used`
)

func scanRobot(scan func(...any) error) (r Robot, err error) {
	var grants, permissions string
	var created, expires, used int64
	if err := scan(&r.Workspace, &r.ID, &r.Project, &r.Name, &r.Description, &r.Disabled, &created, &expires,
		&r.CreatorIssuer, &r.Creator, &grants, &permissions, &used); err != nil {
		return r, err
	}
	r.Created, r.Expires, r.LastUsed = fromMicros(created), fromMicros(expires), fromMicros(used)
	r.Permissions = document(permissions)
	return r, decoded("grants", grants, &r.Grants)
}

func readRobot(ctx context.Context, q querier, workspace, condition string, args ...any) (Robot, error) {
	return scanRobot(q.row(ctx, "SELECT "+robotColumns+" FROM robots WHERE workspace = $1 AND "+condition,
		append([]any{workspace}, args...)...).Scan)
}

// robotRow is what of a robot is JSON in its row.
type robotRow struct{ grants, permissions string }

// newRobotRow checks a robot and completes its grants.
func newRobotRow(r *Robot) (row robotRow, err error) {
	if strings.ContainsAny(r.Name, "+$/ ") {
		return row, fmt.Errorf("a robot's name has none of the characters +, $, /, space: %w", policy.ErrInvalid)
	}
	if err := checkName("a robot's name", r.Name); err != nil {
		return row, err
	}
	if err := checkText("a description", r.Description); err != nil {
		return row, err
	}
	rights := projectRights
	if r.Project == "" {
		rights = allRights
	}
	grants := make([]RobotGrant, len(r.Grants))
	for i, g := range r.Grants {
		if g.Project == "" {
			g.Project = r.Project
		}
		if r.Project != "" && g.Project != r.Project {
			return row, fmt.Errorf("a robot of project %q reaches no other: %w", r.Project, policy.ErrInvalid)
		}
		if grants[i], err = g.checked(rights); err != nil {
			return row, err
		}
	}
	r.Grants = grants
	if row.permissions, err = verbatim("permissions", r.Permissions); err != nil {
		return row, err
	}
	row.grants, err = encoded("grants", r.Grants)
	return row, err
}

// checked is the grant with its rights sorted, or what is wrong with it.
func (g RobotGrant) checked(from []string) (RobotGrant, error) {
	if g.Project == "" {
		return g, fmt.Errorf("a grant names a project, or %q: %w", AnyProject, policy.ErrInvalid)
	}
	if err := checkPattern(g.Repositories, g.Project); err != nil {
		return g, err
	}
	if g.Repositories != "" {
		from = partRights
	}
	var err error
	g.Rights, err = checkRights(g.Rights, from)
	return g, err
}

// holdGranted keeps the projects that a robot or a token is about from being
// deleted until the transaction ends: whoever makes a project of the same name
// later must not have the robot in it.
func (s *Store) holdGranted(ctx context.Context, tx querier, workspace, own string, grants []RobotGrant) error {
	held := map[string]bool{"": true, AnyProject: true}
	names := []string{own}
	for _, g := range grants {
		names = append(names, g.Project)
	}
	for _, name := range names {
		if held[name] {
			continue
		}
		held[name] = true
		if err := s.holdProject(ctx, tx, workspace, name); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return nil
}
