package policy

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// Mode is how strictly a pack is enforced for a project.
type Mode string

// The modes, from none to the strictest.
const (
	ModeOff    Mode = "off"
	ModeDryrun Mode = "dryrun"
	ModeWarn   Mode = "warn"
	ModeDeny   Mode = "deny"
)

// Pack is a pack of rules as one project has it.
type Pack struct {
	Name   string          `json:"name"`
	Mode   Mode            `json:"mode"`
	Config json.RawMessage `json:"config,omitempty"`
}

// Project is what the directory knows of a project.
type Project struct {
	Workspace string
	Name      string
	Public    bool
	Owner     string
	Labels    map[string]string
	// Packs are the modes and configurations that the project chose. A pack
	// that it does not name has the mode of the bundle's data.
	Packs []Pack
}

// Grant is a role, or rights without a role, in all or a part of a project.
type Grant struct {
	// Repositories is a pattern of the names that the grant reaches, as
	// "payments/*": a star stays within one component, two stars cross them. Empty
	// is the whole project, its settings included.
	Repositories string
	// Role is empty for rights that come with no role.
	Role string
	// Rights are spelled out where the role is not one that the shipped rules
	// know: a role that somebody made, a robot's permissions.
	Rights []string
}

// Robot is what the directory knows of a robot that asks.
type Robot struct {
	Name string
	// Project is empty for a robot of the system.
	Project string
	Creator string
}

// Subject is what a principal is in one project, now.
type Subject struct {
	// Roles are the principal's roles in the project, sorted; "admin" is the
	// system's administrator and holds everywhere.
	Roles []string
	// Grants are what it has beside its roles.
	Grants []Grant
	// Limited says that the credential reaches no further than Limits, whatever
	// roles and grants give: an access token of somebody's for one thing.
	Limited bool
	Limits  []Grant
	// Robot is nil for everybody else.
	Robot *Robot
	// Disabled is a known principal that may do nothing any more.
	Disabled bool
}

// View is one immutable reading of people, projects and waivers. A request
// holds one view from needs to record.
type View interface {
	// Revision grows with every change; two views of one revision are equal.
	Revision() int64
	// Subject answers for anybody, at a time of whole seconds: a principal that is
	// not known has no roles, a credential that has ended disables.
	Subject(p Principal, project string, at time.Time) Subject
	Project(workspace, name string) (Project, bool)
	// Waivers are those of the workspace that match and are in force at at.
	Waivers(repo Repository, d digest.Digest, at time.Time) []Waiver
	// BreakGlass answers the grant that the principal has in the project at at.
	BreakGlass(p Principal, project string, at time.Time) (BreakGlass, bool)
}

// Directory hands out the newest view. It fails with [ErrUnavailable] when it
// cannot know whether its newest view still holds.
type Directory interface {
	View() (View, error)
}
