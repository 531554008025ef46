package metadata

import (
	"strings"
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

// view is one immutable reading of the directory. A change makes a new view that
// shares everything but what changed.
type view struct {
	revision int64
	people   map[personKey]personFacts
	projects map[named]*projectFacts
	roles    map[named][]string
	robots   map[numbered]*robotFacts
	tokens   map[numbered]*tokenFacts
	hosts    map[string]string
	waivers  map[string]*policy.WaiverSet
	admins   map[string]adminGroups
	glass    map[string]glassSet
}

// Revision grows with every change of what a view holds, and of secrets.
func (v *view) Revision() int64 { return v.revision }

// Project answers for a project by name; its maps and slices are shared.
func (v *view) Project(workspace, name string) (policy.Project, bool) {
	p := v.projects[named{workspaceOf(workspace), name}]
	if p == nil {
		return policy.Project{}, false
	}
	return p.project, true
}

// Workspace answers which workspace a host leads to. A host that is known with
// the port leads there, else the host without it; one that is not known leads nowhere.
func (v *view) Workspace(host string) (string, bool) {
	host = lower(host)
	if workspace, ok := v.hosts[host]; ok {
		return workspace, true
	}
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		workspace, ok := v.hosts[host[:colon]]
		return workspace, ok
	}
	return "", false
}

// Waivers answers those that match and are in force, by id.
func (v *view) Waivers(repo policy.Repository, d digest.Digest, at time.Time) []policy.Waiver {
	return v.waivers[workspaceOf(repo.Workspace)].Match(repo, d, at)
}
