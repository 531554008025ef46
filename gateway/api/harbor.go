package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// HarborPrefix is the path below which the routes of Harbor's own API lie: the part
// of it that has a meaning here, with its paging, its errors and its names, so that
// what people wrote for Harbor goes on working.
const HarborPrefix = "/api/v2.0"

// Person is somebody whom the gateway knows: an account of its own, or somebody of
// a directory or an identity provider who logged in once.
type Person struct {
	ID int64
	// Issuer vouches for Subject; Name is what people call the person here.
	Issuer, Subject, Name    string
	Email, RealName, Comment string
	SystemAdmin, Disabled    bool
	Created, Updated         time.Time
}

// People are everybody of a workspace. What is not there is [policy.ErrNotFound],
// an id of another workspace included.
type People interface {
	People(ctx context.Context, workspace string) ([]Person, error)
	PersonByID(ctx context.Context, workspace string, id int64) (Person, error)
	PersonByName(ctx context.Context, workspace, name string) (Person, error)
	PersonBySubject(ctx context.Context, workspace, issuer, subject string) (Person, error)
}

// PeopleChanges change them. The last enabled administrator of a workspace stays:
// [policy.ErrConflict].
type PeopleChanges interface {
	UpdatePerson(ctx context.Context, workspace string, p Person) error
	SetPersonAdmin(ctx context.Context, workspace string, id int64, admin bool) error
	SetPersonDisabled(ctx context.Context, workspace string, id int64, disabled bool) error
	DeletePerson(ctx context.Context, workspace string, id int64) error
}

// Group is a group of a directory or an identity provider that has a role here.
type Group struct {
	ID int64
	// Issuer vouches for Name; DN is the directory's own name of it.
	Issuer, Name, DN string
	// Admin says that whoever is in it is an administrator of the workspace.
	Admin   bool
	Created time.Time
}

// Groups are the groups of a workspace.
type Groups interface {
	Groups(ctx context.Context, workspace string) ([]Group, error)
	CreateGroup(ctx context.Context, workspace string, g Group) (Group, error)
	// RenameGroup changes what a group is called.
	RenameGroup(ctx context.Context, workspace string, id int64, name string) error
	DeleteGroup(ctx context.Context, workspace string, id int64) error
	SetGroupAdmin(ctx context.Context, workspace string, id int64, admin bool) error
}

// ProjectDetail is a project with what only its settings show.
type ProjectDetail struct {
	policy.Project
	ID               int64
	Description      string
	Created, Updated time.Time
	// Metadata are Harbor's settings of a project. They are kept and answered;
	// "public" is the project's own.
	Metadata map[string]string
	// Policies are those of a project file, kept as they were written.
	Policies     map[string]any
	Repositories int
}

// ProjectSettings are the projects with all about them.
type ProjectSettings interface {
	ProjectDetails(ctx context.Context, workspace string) ([]ProjectDetail, error)
	ProjectDetail(ctx context.Context, workspace, name string) (ProjectDetail, error)
	// UpdateProjectDetail changes what is no part of policy.Project.
	UpdateProjectDetail(ctx context.Context, workspace string, p ProjectDetail) error
	// DeleteProject fails with [policy.ErrConflict] while it has repositories.
	DeleteProject(ctx context.Context, workspace, name string) error
}

// Membership is a role of somebody in a project, or in a part of it.
type Membership struct {
	ID                                int64
	Project, Issuer, Kind, Name, Role string
	// Repositories is a pattern; empty for the whole project.
	Repositories string
	// Claims are what a workload's token must say.
	Claims map[string]string
}

// Memberships are the roles in a project by number.
type Memberships interface {
	Memberships(ctx context.Context, workspace, project string) ([]Membership, error)
	PutMembership(ctx context.Context, workspace string, m Membership) (Membership, error)
	DeleteMembership(ctx context.Context, workspace, project string, id int64) error
}

// RobotGrant is what a robot may do in a project: "*" is every project, for a robot
// of the system.
type RobotGrant struct {
	Project      string   `json:"project"`
	Repositories string   `json:"repositories,omitempty"`
	Rights       []string `json:"rights"`
}

// Robot is an account of a machine.
type Robot struct {
	ID int64
	// Project is empty for a robot of the system.
	Project, Name, Description string
	Disabled                   bool
	// Expires is zero for a robot that does not.
	Created, Updated, Expires time.Time
	CreatorIssuer, Creator    string
	Grants                    []RobotGrant
	// Permissions are the grants as Harbor writes them, kept as they came.
	Permissions json.RawMessage
}

// Robots are the robots of a workspace.
type Robots interface {
	Robots(ctx context.Context, workspace string) ([]Robot, error)
	CreateRobot(ctx context.Context, workspace string, r Robot, secretHash []byte) (Robot, error)
	UpdateRobot(ctx context.Context, workspace string, r Robot) error
	DeleteRobot(ctx context.Context, workspace string, id int64) error
}

// RobotSecrets replace them.
type RobotSecrets interface {
	// SetRobotSecret keeps the one before good until then.
	SetRobotSecret(ctx context.Context, workspace string, id int64, hash []byte, until time.Time) error
}

// AccessToken is a secret of a person's for one purpose.
type AccessToken struct {
	ID                  int64
	Issuer, Owner, Name string
	OwnerName           string
	// Limited says that it reaches no further than Limits.
	Limited                    bool
	Limits                     []RobotGrant
	Created, Expires, LastUsed time.Time
}

// AccessTokens are the tokens of one person.
type AccessTokens interface {
	AccessTokens(ctx context.Context, workspace, issuer, owner string) ([]AccessToken, error)
	CreateAccessToken(ctx context.Context, workspace string, t AccessToken, hash []byte) (AccessToken, error)
	DeleteAccessToken(ctx context.Context, workspace string, id int64) error
}

// Directory is a directory service that can be asked whether it answers.
type Directory interface {
	// Name is the operator's own; Workspace is whose people it has.
	Name() string
	Workspace() string
	Ping(ctx context.Context) error
	// Person is what the directory has of whoever goes by a login name, without the
	// roles: [policy.ErrNotFound] for nobody, [policy.ErrConflict] for several.
	Person(ctx context.Context, login string) (DirectoryPerson, error)
}

func (c *HarborConfig) check() error {
	for _, part := range []any{
		c.People, c.Changes, c.Links, c.Groups, c.Projects, c.Members, c.Robots, c.RobotSecrets, c.AccessTokens, c.Roles, c.Workspaces, c.View,
	} {
		if part == nil {
			return fmt.Errorf("make the Harbor API: a part is missing: %w", policy.ErrInvalid)
		}
	}
	if c.RobotPrefix == "" || c.RobotName == nil {
		return fmt.Errorf("make the Harbor API: robots need a prefix and names: %w", policy.ErrInvalid)
	}
	return nil
}

// HarborConfig is what Harbor's API and the identity part of ours are made of; all
// of it is required but Directories.
type HarborConfig struct {
	People       People
	Changes      PeopleChanges
	Links        Links
	Groups       Groups
	Projects     ProjectSettings
	Members      Memberships
	Robots       Robots
	RobotSecrets RobotSecrets
	AccessTokens AccessTokens
	Roles        CustomRoles
	Workspaces   Workspaces
	View         policy.Directory
	Directories  []Directory
	// RobotPrefix is what the names of robots begin with; RobotName is the whole name
	// that one logs in by, with an empty project for one of the system.
	RobotPrefix string
	RobotName   func(project, name string) string
	// Overlap is how long a robot's secret stays good after a new one was made.
	Overlap time.Duration
	Version string
}
