package metadata

import (
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Subject answers what a principal is in a project at a time. Each kind has its
// own rooms: a robot called like a person is not that person.
//
// A person whom the workspace does not know has no roles, whatever a token says:
// it was deleted, or never enrolled. A credential that is not known, has expired or
// is another's makes whoever comes with it disabled; so does a robot without
// one. What the answer holds is shared and must not be changed.
func (v *view) Subject(p policy.Principal, project string, at time.Time) policy.Subject {
	if p.Kind == policy.KindOperator {
		return policy.Subject{Roles: roleLists[admin]}
	}
	if p.Anonymous() {
		return policy.Subject{}
	}
	workspace := workspaceOf(p.Workspace)
	switch p.Kind {
	case policy.KindUser:
		return v.person(&p, workspace, project, at)
	case policy.KindRobot:
		return v.robot(&p, workspace, project, at)
	case policy.KindWorkload:
		return v.workload(&p, workspace, project)
	default:
		return policy.Subject{}
	}
}

func (v *view) person(p *policy.Principal, workspace, project string, at time.Time) policy.Subject {
	person, known := v.people[personKey{workspace, identity{p.Issuer, p.ID}}]
	if person.disabled || person.links != nil && v.barred(workspace, person.links) {
		return policy.Subject{Disabled: true}
	}
	var s policy.Subject
	if p.Credential != "" && !v.within(&s, p, workspace, project, at) {
		return policy.Subject{Disabled: true}
	}
	if !known {
		return s
	}
	var set roles
	if person.admin || v.adminOf(workspace, p.Issuer, p.Groups) {
		set |= admin
	}
	self, facts := identity{p.Issuer, p.ID}, v.projects[named{workspace, project}]
	if person.links != nil {
		set |= v.others(&s, workspace, facts, self, person.links)
	}
	if facts != nil {
		set |= v.give(&s, workspace, facts.users[self])
		if len(facts.groups) > 0 {
			for _, group := range p.Groups {
				set |= v.give(&s, workspace, facts.groups[identity{p.Issuer, group}])
			}
		}
	}
	s.Roles = roleLists[set]
	return s
}

// within sets the limits of a person's credential, and reports whether it holds.
// Sessions are not the view's: whoever reads the cookie looks them up.
func (v *view) within(s *policy.Subject, p *policy.Principal, workspace, project string, at time.Time) bool {
	if strings.HasPrefix(p.Credential, policy.CredentialSession+":") {
		return true
	}
	id, ok := credentialID(p.Credential, policy.CredentialAccessToken)
	if !ok {
		return false
	}
	token := v.tokens[numbered{workspace, id}]
	if token == nil || token.owner != (identity{p.Issuer, p.ID}) || ended(token.expires, at) {
		return false
	}
	if token.limited {
		s.Limited, s.Limits = true, token.reach.in(project)
	}
	return true
}

func (v *view) robot(p *policy.Principal, workspace, project string, at time.Time) policy.Subject {
	id, _ := credentialID(p.Credential, policy.CredentialRobot)
	robot := v.robots[numbered{workspace, id}]
	if robot == nil || robot.disabled || ended(robot.expires, at) {
		return policy.Subject{Disabled: true}
	}
	s := policy.Subject{Robot: &robot.robot, Grants: robot.reach.in(project)}
	if facts := v.projects[named{workspace, project}]; facts != nil && len(facts.robots) > 0 {
		s.Grants = slices.Clip(s.Grants) // shared: what is added goes elsewhere
		s.Roles = roleLists[v.give(&s, workspace, facts.robots[robot.fullName])]
	}
	return s
}

// workload gives a workload what its subject has, and what its claims have. A
// grant that names claims asks for all of them.
func (v *view) workload(p *policy.Principal, workspace, project string) policy.Subject {
	var s policy.Subject
	facts := v.projects[named{workspace, project}]
	if facts == nil {
		return s
	}
	set := v.give(&s, workspace, facts.workloads[identity{p.Issuer, p.ID}])
	for _, c := range facts.claimants(p) {
		set |= v.give(&s, workspace, &c.standing)
	}
	s.Roles = roleLists[set]
	return s
}

// give adds a member's grants to a subject and answers its roles. A role that was
// made and is not known gives nothing.
func (v *view) give(s *policy.Subject, workspace string, has *standing) roles {
	if has == nil {
		return 0
	}
	for _, g := range has.grants {
		given := policy.Grant{Repositories: g.repositories, Role: g.role}
		if g.made {
			given.Rights = v.roles[named{workspace, g.role}]
			if given.Rights == nil {
				continue
			}
		}
		s.Grants = append(s.Grants, given)
	}
	return has.roles
}
