package metadata

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// roles is a set of the known roles, one bit each.
type roles uint8

// roleNames are the roles in the order of their bits, which is their sorted order.
var roleNames = [...]string{"admin", "developer", "guest", "limitedGuest", "maintainer", "projectAdmin"}

// admin is the bit of the system's administrator; members have the others.
const admin roles = 1

// roleLists holds the answer for every set, so that none is made per request.
var roleLists = func() (lists [1 << len(roleNames)][]string) {
	for set := range lists {
		for bit, name := range roleNames {
			if set&(1<<bit) != 0 {
				lists[set] = append(lists[set], name)
			}
		}
	}
	return lists
}()

// memberRole gives the bit of a role that a member can have.
func memberRole(name string) (roles, bool) {
	for bit, known := range roleNames {
		if bit > 0 && known == name {
			return 1 << bit, true
		}
	}
	return 0, false
}

// named is a name in a workspace.
type named struct{ workspace, name string }

// identity is a person or a group of an issuer.
type identity struct{ issuer, name string }

type userFacts struct{ admin, disabled bool }

type projectFacts struct {
	project policy.Project
	users   map[identity]roles
	groups  map[identity]roles
}

// view is one immutable reading of the directory. A change makes a new view that
// shares everything but what changed.
type view struct {
	revision int64
	users    map[named]userFacts
	projects map[named]*projectFacts
	waivers  map[string]*waiverSet
}

// Revision grows with every change of people, projects, waivers or secrets.
func (v *view) Revision() int64 { return v.revision }

// Project answers for a project by name; its maps and slices are shared.
func (v *view) Project(workspace, name string) (policy.Project, bool) {
	p := v.projects[named{workspaceOf(workspace), name}]
	if p == nil {
		return policy.Project{}, false
	}
	return p.project, true
}

// Subject answers what a principal is in a project. A local user that the
// database does not know has no roles, whatever a token says; robots and
// workloads have none from membership: a robot called like a person is not that
// person.
func (v *view) Subject(p policy.Principal, project string, _ time.Time) policy.Subject {
	switch p.Kind {
	case policy.KindOperator:
		return policy.Subject{Roles: roleLists[admin]}
	case policy.KindUser:
	default:
		return policy.Subject{}
	}
	if p.Anonymous() {
		return policy.Subject{}
	}
	workspace := workspaceOf(p.Workspace)
	var set roles
	if p.Issuer == policy.LocalIssuer {
		user, known := v.users[named{workspace, p.ID}]
		if !known {
			return policy.Subject{}
		}
		if user.disabled {
			return policy.Subject{Disabled: true}
		}
		if user.admin {
			set |= admin
		}
	}
	if facts := v.projects[named{workspace, project}]; facts != nil {
		set |= facts.users[identity{p.Issuer, p.ID}]
		if len(facts.groups) > 0 {
			for _, group := range p.Groups {
				set |= facts.groups[identity{p.Issuer, group}]
			}
		}
	}
	return policy.Subject{Roles: roleLists[set]}
}

// Waivers answers those that match and have not expired, by id.
func (v *view) Waivers(repo policy.Repository, d digest.Digest, at time.Time) []policy.Waiver {
	return v.waivers[workspaceOf(repo.Workspace)].match(repo, d, at)
}
