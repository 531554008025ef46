package api

import (
	"cmp"
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
	return a.harbor.RobotName(r.Project, r.Name)
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
		at := located(c, made.ID)
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
	return plan{project: r.Project, id: cmp.Or(r.Name, c.path("robot_id")), do: func(context.Context) (any, error) {
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
