package api

import (
	"slices"
	"time"
)

// accessRights are the parts of Harbor's permissions that mean something here, and
// the right that each is.
var accessRights = map[HarborAccess]string{
	{Resource: "repository", Action: "pull"}:   "pull",
	{Resource: "repository", Action: "push"}:   "push",
	{Resource: "repository", Action: "list"}:   "list",
	{Resource: "repository", Action: "read"}:   "list",
	{Resource: "repository", Action: "delete"}: "delete",
	{Resource: "artifact", Action: "read"}:     "list",
	{Resource: "artifact", Action: "list"}:     "list",
	{Resource: "artifact", Action: "create"}:   "push",
	{Resource: "artifact", Action: "delete"}:   "delete",
	{Resource: "tag", Action: "list"}:          "list",
	{Resource: "tag", Action: "create"}:        "push",
	{Resource: "tag", Action: "delete"}:        "delete",
	{Resource: "project", Action: "read"}:      "list",
	{Resource: "member", Action: "list"}:       "members",
	{Resource: "member", Action: "read"}:       "members",
}

// permissionsOf writes grants as Harbor does, for a robot that was made otherwise.
func permissionsOf(grants []RobotGrant) []HarborPermission {
	out := make([]HarborPermission, 0, len(grants))
	for _, g := range grants {
		p := HarborPermission{Kind: levelProject, Namespace: g.Project, Access: []HarborAccess{}}
		for _, right := range g.Rights {
			p.Access = append(p.Access, HarborAccess{Resource: "repository", Action: right})
		}
		out = append(out, p)
	}
	return out
}

// grantsOf reads Harbor's permissions. What has no meaning here is refused rather
// than kept: a robot must not seem to have it.
func grantsOf(level, project string, permissions []HarborPermission) ([]RobotGrant, error) {
	if len(permissions) == 0 || len(permissions) > 100 {
		return nil, refuse("a robot has 1 to 100 permissions")
	}
	out := make([]RobotGrant, 0, len(permissions))
	for _, p := range permissions {
		switch {
		case p.Kind != levelProject:
			return nil, refuse("the permissions of a robot are of the kind project, not %s", show(p.Kind))
		case level == levelProject && p.Namespace != project:
			return nil, refuse("a robot of the project %s has permissions there and nowhere else", project)
		case p.Namespace != "*" || level != levelSystem:
			if err := CheckProjectName(p.Namespace); err != nil {
				return nil, err
			}
		}
		g := RobotGrant{Project: p.Namespace, Rights: []string{}}
		for _, access := range p.Access {
			if access.Effect != "" && access.Effect != "allow" {
				return nil, refuse("an effect is allow: nothing is there that could be denied")
			}
			right, ok := accessRights[HarborAccess{Resource: access.Resource, Action: access.Action}]
			if !ok {
				return nil, refuse("no permission is called %s; GET %s/permissions lists those that there are", show(access.Resource+":"+access.Action), HarborPrefix)
			}
			if !slices.Contains(g.Rights, right) {
				g.Rights = append(g.Rights, right)
			}
		}
		if len(g.Rights) == 0 {
			return nil, refuse("a permission allows something")
		}
		slices.Sort(g.Rights)
		out = append(out, g)
	}
	return out, nil
}

// expiry reads Harbor's duration in days; -1 is for ever.
func expiry(from time.Time, days int64) (time.Time, error) {
	switch {
	case days == -1:
		return time.Time{}, nil
	case days < 1 || days > 3650:
		return time.Time{}, refuse("a robot lives for 1 to 3650 days, or -1 for ever")
	default:
		return from.Add(time.Duration(days) * 24 * time.Hour), nil
	}
}

// robotProject is the one project of a robot: its only namespace, for one of the
// level project.
func robotProject(level string, permissions []HarborPermission) (string, error) {
	switch {
	case level == levelSystem:
		return "", nil
	case level != levelProject:
		return "", refuse("a robot's level is system or project, not %s", show(level))
	case len(permissions) != 1:
		return "", refuse("a robot of a project has permissions in that project alone")
	default:
		return permissions[0].Namespace, nil
	}
}
