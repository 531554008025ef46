package api

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/policy"
)

// HarborRobot is Harbor's Robot.
type HarborRobot struct {
	ID          int64              `json:"id"`
	Name        string             `json:"name"`
	Description string             `json:"description"`
	Level       string             `json:"level"`
	Duration    int64              `json:"duration"`
	Editable    bool               `json:"editable"`
	Disable     bool               `json:"disable"`
	ExpiresAt   int64              `json:"expires_at"`
	Creator     string             `json:"creator_name"`
	Permissions []HarborPermission `json:"permissions"`
	Created     time.Time          `json:"creation_time"`
	Updated     time.Time          `json:"update_time"`
}

// HarborRobotRequest is Harbor's RobotCreate, and its Robot where one is changed:
// of that the numbers and times are read and not changed.
type HarborRobotRequest struct {
	ID          int64              `json:"id,omitempty"`
	Name        string             `json:"name,omitempty"`
	Description string             `json:"description,omitempty"`
	Secret      string             `json:"secret,omitempty"`
	Level       string             `json:"level,omitempty"`
	Disable     bool               `json:"disable,omitempty"`
	Duration    int64              `json:"duration,omitempty"`
	Editable    bool               `json:"editable,omitempty"`
	ExpiresAt   int64              `json:"expires_at,omitempty"`
	Creator     string             `json:"creator_name,omitempty"`
	Permissions []HarborPermission `json:"permissions,omitempty"`
	Created     *time.Time         `json:"creation_time,omitempty"`
	Updated     *time.Time         `json:"update_time,omitempty"`
}

// HarborPermission is Harbor's RobotPermission: what is allowed in a namespace.
type HarborPermission struct {
	Kind      string         `json:"kind"`
	Namespace string         `json:"namespace"`
	Access    []HarborAccess `json:"access"`
}

// HarborAccess is Harbor's Access.
type HarborAccess struct {
	Resource string `json:"resource"`
	Action   string `json:"action"`
	Effect   string `json:"effect,omitempty"`
}

// HarborRobotCreated is Harbor's RobotCreated: the one time that the secret is
// shown.
type HarborRobotCreated struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Secret    string    `json:"secret"`
	Created   time.Time `json:"creation_time"`
	ExpiresAt int64     `json:"expires_at"`
}

// HarborSecret is Harbor's RobotSec. A secret of the caller's own is not taken: the
// gateway makes better ones.
type HarborSecret struct {
	Secret string `json:"secret,omitempty"`
}

// Harbor's levels of robots, which are its kinds of permissions too.
const (
	levelSystem  = "system"
	levelProject = "project"
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

var robotName = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

var robotFields = []field[Robot]{
	{"name", func(r Robot) any { return r.Name }},
	{"id", func(r Robot) any { return r.ID }},
	{"level", func(r Robot) any { return robotLevel(r) }},
	{"disable", func(r Robot) any { return r.Disabled }},
	{"creation_time", func(r Robot) any { return r.Created }},
	{"update_time", func(r Robot) any { return r.Updated }},
}

func robotLevel(r Robot) string {
	if r.Project == "" {
		return levelSystem
	}
	return levelProject
}

func (a *API) robotFullName(r Robot) string {
	if r.Project == "" {
		return a.harbor.RobotPrefix + r.Name
	}
	return a.harbor.RobotPrefix + r.Project + "+" + r.Name
}

func (a *API) harborRobot(r Robot) HarborRobot {
	out := HarborRobot{
		ID: r.ID, Name: a.robotFullName(r), Description: r.Description, Level: robotLevel(r), Editable: true,
		Disable: r.Disabled, Duration: -1, ExpiresAt: -1, Creator: r.Creator, Created: r.Created, Updated: r.Updated,
		Permissions: []HarborPermission{},
	}
	if !r.Expires.IsZero() {
		out.ExpiresAt = r.Expires.Unix()
		out.Duration = int64((r.Expires.Sub(r.Created) + 12*time.Hour) / (24 * time.Hour))
	}
	if json.Unmarshal(r.Permissions, &out.Permissions) != nil || len(out.Permissions) == 0 {
		out.Permissions = permissionsOf(r.Grants)
	}
	return out
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

// robotDoc is a robot as rules and records see it: never with a secret.
func robotDoc(r Robot) map[string]any {
	grants := make([]map[string]any, 0, len(r.Grants))
	for _, g := range r.Grants {
		var repositories any
		if g.Repositories != "" {
			repositories = g.Repositories
		}
		grants = append(grants, map[string]any{"project": g.Project, "repositories": repositories, "rights": g.Rights})
	}
	doc := map[string]any{
		"name": r.Name, "project": r.Project, "description": r.Description, "disabled": r.Disabled, "grants": grants, "expires": nil,
	}
	if !r.Expires.IsZero() {
		doc["expires"] = r.Expires.UTC().Format(time.RFC3339)
	}
	return doc
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

func (a *API) harborListRobots(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	// Harbor's clients name the project by number in q; without one they mean the
	// system's robots.
	var project string
	var id string
	l.where = slices.DeleteFunc(l.where, func(cond condition) bool {
		if (cond.field == "ProjectID" || cond.field == "project_id") && len(cond.values) == 1 {
			id = cond.values[0]
			return true
		}
		return cond.field == "Level" || cond.field == "level" && id != ""
	})
	if id != "" && id != "0" {
		all, err := a.harbor.Projects.ProjectDetails(c.r.Context(), c.workspace())
		if err != nil {
			return plan{}, err
		}
		i := slices.IndexFunc(all, func(p ProjectDetail) bool { return fmt.Sprint(p.ID) == id })
		if i < 0 {
			return plan{project: nowhere(id).Name}, fmt.Errorf("find project %s: %w", show(id), policy.ErrNotFound)
		}
		project = all[i].Name
	}
	return a.listRobots(c, l, project), nil
}

func (a *API) listRobots(c *call, l listing, project string) plan {
	return plan{project: project, do: func(ctx context.Context) (any, error) {
		all, err := a.harbor.Robots.Robots(ctx, c.workspace())
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(slices.Clone(all), func(r Robot) bool { return r.Project != project })
		return paged(l, all, "name", robotFields, a.harborRobot)
	}}
}

func (a *API) harborListProjectRobots(c *call) (plan, error) {
	l, err := readListing(c)
	if err != nil {
		return plan{}, err
	}
	p, err := a.detailOf(c)
	if err != nil {
		return plan{project: p.Name}, err
	}
	return a.listRobots(c, l, p.Name), nil
}

func (a *API) harborCreateRobot(c *call) (plan, error) {
	body, _ := c.body.(*HarborRobotRequest)
	project, err := robotProject(body.Level, body.Permissions)
	if err != nil {
		return plan{}, err
	}
	return a.createRobot(c, project)
}

// createRobot makes a robot of a project, or of the system for the empty name.
func (a *API) createRobot(c *call, project string) (plan, error) {
	body, _ := c.body.(*HarborRobotRequest)
	level := levelProject
	if project == "" {
		level = levelSystem
	}
	r := Robot{
		Project: project, Name: a.shortName(body.Name, project), Description: body.Description, Disabled: body.Disable,
		CreatorIssuer: c.caller.Principal.Issuer, Creator: c.caller.Principal.Label(), Created: c.now, Updated: c.now,
	}
	if err := a.fillRobot(&r, level, body); err != nil {
		return plan{}, err
	}
	if body.Secret != "" {
		return plan{}, refuse("the gateway makes the secret")
	}
	p := plan{project: project, id: r.Name, after: robotDoc(r)}
	if project != "" {
		if _, err := a.cfg.Projects.Project(c.r.Context(), c.workspace(), project); err != nil {
			return p, err
		}
	}
	p.do = func(ctx context.Context) (any, error) {
		raw, hash := authn.NewSecret(authn.PrefixRobot)
		made, err := a.harbor.Robots.CreateRobot(ctx, c.workspace(), r, hash)
		if err != nil {
			return nil, err
		}
		out := HarborRobotCreated{ID: made.ID, Name: a.robotFullName(made), Secret: raw, Created: made.Created, ExpiresAt: -1}
		if !made.Expires.IsZero() {
			out.ExpiresAt = made.Expires.Unix()
		}
		at := made_(c, made.ID)
		at.body = out
		return at, nil
	}
	return p, nil
}

// shortName is the name without what it is shown with.
func (a *API) shortName(name, project string) string {
	name = strings.TrimPrefix(name, a.harbor.RobotPrefix)
	if project != "" {
		name = strings.TrimPrefix(name, project+"+")
	}
	return name
}

func (a *API) fillRobot(r *Robot, level string, body *HarborRobotRequest) (err error) {
	if len(r.Name) > maxName || !robotName.MatchString(r.Name) {
		return refuse("a robot's name is 1 to %d of a-z 0-9 with single . _ or - between them: %s", maxName, show(r.Name))
	}
	if err := checkText("a description", r.Description, maxText); err != nil {
		return err
	}
	if r.Expires, err = expiry(r.Created, body.Duration); err != nil {
		return err
	}
	if r.Grants, err = grantsOf(level, r.Project, body.Permissions); err != nil {
		return err
	}
	r.Permissions, err = json.Marshal(body.Permissions)
	return err
}

// robotOf is the robot of the path; where the path has a project, of that project.
func (a *API) robotOf(c *call) (Robot, error) {
	id, err := c.id("robot_id")
	if err != nil {
		return Robot{}, err
	}
	project := ""
	if c.path("project_name_or_id") != "" {
		p, err := a.detailOf(c)
		if err != nil {
			return Robot{Project: p.Name}, err
		}
		project = p.Name
	}
	all, err := a.harbor.Robots.Robots(c.r.Context(), c.workspace())
	if err != nil {
		return Robot{}, err
	}
	for _, r := range all {
		if r.ID == id && (project == "" || r.Project == project) {
			return r, nil
		}
	}
	if project == "" {
		project = nowhere(c.path("robot_id")).Name
	}
	return Robot{Project: project}, fmt.Errorf("find robot %d: %w", id, policy.ErrNotFound)
}

func (a *API) harborReadRobot(c *call) (plan, error) {
	r, err := a.robotOf(c)
	return plan{project: r.Project, id: cmpName(r.Name, c.path("robot_id")), do: func(context.Context) (any, error) {
		return a.harborRobot(r), nil
	}}, err
}

func (a *API) harborUpdateRobot(c *call) (plan, error) {
	body, _ := c.body.(*HarborRobotRequest)
	was, err := a.robotOf(c)
	if err != nil {
		return plan{project: was.Project, id: c.path("robot_id")}, err
	}
	if body.Level != "" && body.Level != robotLevel(was) || body.Name != "" && a.shortName(body.Name, was.Project) != was.Name {
		return plan{project: was.Project, id: was.Name, before: robotDoc(was)}, refuse("a robot keeps its name and its level")
	}
	now := was
	now.Description, now.Disabled, now.Updated = body.Description, body.Disable, c.now
	if body.Duration == 0 {
		body.Duration = a.harborRobot(was).Duration
	}
	if err := a.fillRobot(&now, robotLevel(was), body); err != nil {
		return plan{project: was.Project, id: was.Name, before: robotDoc(was)}, err
	}
	return plan{project: was.Project, id: was.Name, before: robotDoc(was), after: robotDoc(now), do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Robots.UpdateRobot(ctx, c.workspace(), now)
	}}, nil
}

func (a *API) harborRefreshRobot(c *call) (plan, error) {
	body, _ := c.body.(*HarborSecret)
	if body.Secret != "" {
		return plan{}, refuse("the gateway makes the secret")
	}
	r, err := a.robotOf(c)
	if err != nil {
		return plan{project: r.Project, id: c.path("robot_id")}, err
	}
	return plan{project: r.Project, id: r.Name, before: robotDoc(r), after: robotDoc(r), do: func(ctx context.Context) (any, error) {
		raw, hash := authn.NewSecret(authn.PrefixRobot)
		if err := a.harbor.RobotSecrets.SetRobotSecret(ctx, c.workspace(), r.ID, hash, c.now.Add(a.harbor.Overlap)); err != nil {
			return nil, err
		}
		return HarborSecret{Secret: raw}, nil
	}}, nil
}

func (a *API) harborDeleteRobot(c *call) (plan, error) {
	r, err := a.robotOf(c)
	if err != nil {
		return plan{project: r.Project, id: c.path("robot_id")}, err
	}
	return plan{project: r.Project, id: r.Name, before: robotDoc(r), do: func(ctx context.Context) (any, error) {
		return done, a.harbor.Robots.DeleteRobot(ctx, c.workspace(), r.ID)
	}}, nil
}
