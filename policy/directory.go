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

// Subject is what a principal is in one project, now.
type Subject struct {
	// Roles are the principal's roles in the project, sorted; "admin" is the
	// system's administrator and holds everywhere.
	Roles []string
	// Disabled is a known principal that may do nothing any more.
	Disabled bool
}

// Waiver lifts a rule for a while. Expires and Owner are required.
type Waiver struct {
	ID           string    `json:"id"`
	Workspace    string    `json:"-"`
	Rule         string    `json:"rule"`
	Terms        []string  `json:"terms,omitempty"`
	Projects     []string  `json:"projects,omitempty"`
	Repositories []string  `json:"repositories,omitempty"`
	Digests      []string  `json:"digests,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Ticket       string    `json:"ticket,omitempty"`
	Owner        string    `json:"owner"`
	Approver     string    `json:"approver,omitempty"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires"`
}

// View is one immutable reading of people, projects and waivers. A request
// holds one view from needs to record.
type View interface {
	// Revision grows with every change; two views of one revision are equal.
	Revision() int64
	// Subject answers for anybody: a principal that is not known has no roles.
	Subject(p Principal, project string) Subject
	Project(workspace, name string) (Project, bool)
	// Waivers are those that match and have not expired at at.
	Waivers(repo Repository, d digest.Digest, at time.Time) []Waiver
}

// Directory hands out the newest view. It fails with [ErrUnavailable] when it
// cannot know whether its newest view still holds.
type Directory interface {
	View() (View, error)
}
