package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

// Bounds on grants for an emergency.
const (
	maxGlassProjects = 16
	maxJustification = 1024
	maxTicket        = 128
	// someGlass is how many grants one list has at most, of seenGlass that are looked
	// at: those of other projects must not crowd out the ones that are asked for.
	someGlass = 1000
	seenGlass = 10_000
	// mostGlass is how many grants of one person wait or hold at a time: whoever may
	// ask must not fill what is read at every change of one.
	mostGlass = 100
	// usualGlass is how long a grant lasts for which no end was given.
	usualGlass = time.Hour
)

// BreakGlasses are the grants for an emergency.
type BreakGlasses interface {
	BreakGlass(ctx context.Context, workspace, id string) (policy.BreakGlass, error)
	// BreakGlasses are those that were not over at since, the latest made first.
	BreakGlasses(ctx context.Context, workspace string, since time.Time, limit int) ([]policy.BreakGlass, error)
	AddBreakGlass(ctx context.Context, b policy.BreakGlass) error
	// ChangeBreakGlass may call change more than once.
	ChangeBreakGlass(ctx context.Context, workspace, id string, change func(*policy.BreakGlass) error) (policy.BreakGlass, error)
}

// BreakGlassPeople know who is who: whether two are one person, and what somebody is
// in a project.
type BreakGlassPeople interface {
	OnePerson(ctx context.Context, workspace string, a, b policy.Principal) (bool, error)
	View() (policy.View, error)
}

// BreakGlassConfig is what the part of the API about emergencies is made of.
type BreakGlassConfig struct {
	Grants BreakGlasses
	People BreakGlassPeople
	// Max is how long a grant lasts at most, whatever rules say.
	Max time.Duration
	// SecondPerson makes every grant wait for another person to approve it.
	SecondPerson bool
}

func (c BreakGlassConfig) check() error {
	if c.Grants == nil || c.People == nil || c.Max <= 0 {
		return fmt.Errorf("make the management API: grants, people and how long a grant lasts at most are required: %w", policy.ErrInvalid)
	}
	return nil
}

// NewBreakGlass is a grant to be made: for the caller when it names nobody, for an
// hour when it has no end.
type NewBreakGlass struct {
	Subject       string    `json:"subject,omitempty"`
	Issuer        string    `json:"issuer,omitempty"`
	Kind          string    `json:"kind,omitempty" jsonschema:"enum=user,enum=robot,enum=workload"`
	Projects      []string  `json:"projects"`
	Justification string    `json:"justification"`
	Ticket        string    `json:"ticket"`
	Expires       time.Time `json:"expires,omitzero"`
	// Pending asks for a second person where none would be needed.
	Pending bool `json:"pending,omitempty"`
}

// BreakGlassApproval is what a second person says.
type BreakGlassApproval struct {
	Approve bool `json:"approve"`
}

// breakglassRoutes are the part of the table about emergencies.
func breakglassRoutes() []route {
	const admin, ok, created = policy.AdminAPI, http.StatusOK, http.StatusCreated
	one, all := replyOf[policy.BreakGlass](), replyOf[[]policy.BreakGlass]()
	return []route{
		{method: http.MethodGet, pattern: "/breakglass", action: admin, resource: "breakglass", verb: "list", status: ok, query: []string{"project", "own", "all"}, reply: all, plan: (*API).listGlass},
		{method: http.MethodPost, pattern: "/breakglass", action: admin, resource: "breakglass", verb: "create", status: created, body: bodyOf[NewBreakGlass](), reply: one, plan: (*API).createGlass},
		{method: http.MethodGet, pattern: "/breakglass/{grant}", action: admin, resource: "breakglass", verb: "read", status: ok, reply: one, plan: (*API).readGlass},
		{method: http.MethodPut, pattern: "/breakglass/{grant}/approval", action: admin, resource: "breakglass", verb: "approve", status: ok, body: bodyOf[BreakGlassApproval](), reply: one, plan: (*API).approveGlass},
		{method: http.MethodDelete, pattern: "/breakglass/{grant}", action: admin, resource: "breakglass", verb: "end", status: ok, reply: one, plan: (*API).endGlass},
	}
}

func (a *API) listGlass(c *call) (plan, error) {
	project, own, all := c.query("project"), c.query("own"), c.query("all")
	for name, v := range map[string]string{"own": own, "all": all} {
		if v != "" && v != "true" && v != "false" {
			return plan{}, refuse("%s is true or false, not %s", name, show(v))
		}
	}
	p := plan{project: project}
	if project != "" {
		if err := CheckProjectName(project); err != nil {
			return plan{}, err
		}
	}
	who := c.caller.Principal
	if own == "true" {
		p.before = map[string]any{"subject": who.ID, "issuer": who.Issuer, "kind": who.Kind}
	}
	p.do = func(ctx context.Context) (any, error) {
		since := c.now
		if all == "true" {
			since = time.Time{}
		}
		grants, err := a.cfg.BreakGlass.Grants.BreakGlasses(ctx, c.workspace(), since, seenGlass)
		out := make([]policy.BreakGlass, 0, len(grants))
		for _, b := range grants {
			if own == "true" && !b.For(who) || project != "" && !slices.Contains(b.Projects, project) {
				continue
			}
			if project != "" && own != "true" {
				b.Projects = []string{project} // who manages one need not know of the others
			}
			if out = append(out, b); len(out) == someGlass {
				break
			}
		}
		return out, err
	}
	return p, nil
}

func (a *API) createGlass(c *call) (plan, error) {
	body, _ := c.body.(*NewBreakGlass)
	who := c.caller.Principal
	b := policy.BreakGlass{
		ID: "bg-" + strings.ToLower(rand.Text()[:16]), Workspace: c.workspace(), Issuer: body.Issuer, Subject: body.Subject, Kind: policy.Kind(body.Kind),
		Projects: slices.Compact(slices.Sorted(slices.Values(body.Projects))), Justification: strings.TrimSpace(body.Justification),
		Ticket: strings.TrimSpace(body.Ticket), Requester: who.Label(), RequestedBy: who.Identity(),
		Created: c.now, Expires: body.Expires.UTC().Truncate(time.Second), State: policy.WaiverApproved,
	}
	if err := a.completeGlass(&b, who); err != nil {
		return plan{}, err
	}
	p := plan{id: b.ID, verb: "create"}
	if body.Pending || a.cfg.BreakGlass.SecondPerson {
		b.State, p.verb = policy.WaiverPending, "request"
	}
	p.project, p.also = b.Projects[0], b.Projects[1:]
	member, err := a.glassMember(b, c.now)
	if err != nil {
		return plan{}, err
	}
	doc := glassDoc(b)
	doc["member"] = member
	p.after = doc
	p.do = func(ctx context.Context) (any, error) {
		if b.Kind == policy.KindUser && b.Issuer == policy.LocalIssuer {
			// A grant for a name that nobody has would wait for whoever takes it next.
			if _, err := a.cfg.Accounts.User(ctx, b.Workspace, b.Subject); err != nil {
				return nil, err
			}
		}
		if err := a.mayHaveGlass(ctx, b, who); err != nil {
			return nil, err
		}
		return b, a.cfg.BreakGlass.Grants.AddBreakGlass(ctx, b)
	}
	return p, person(who)
}

// mayHaveGlass refuses one more grant of somebody with too many that are not over.
// Who has the machine in their hands is not counted.
func (a *API) mayHaveGlass(ctx context.Context, b policy.BreakGlass, who policy.Principal) error {
	if who.Kind == policy.KindOperator {
		return nil
	}
	all, err := a.cfg.BreakGlass.Grants.BreakGlasses(ctx, b.Workspace, b.Created, seenGlass)
	if err != nil {
		return err
	}
	open := 0
	for i := range all {
		if all[i].RequestedBy == b.RequestedBy {
			open++
		}
	}
	if open >= mostGlass {
		return refuse("%s has %d grants that are not over: end one first", b.Requester, open)
	}
	return nil
}

// completeGlass fills in what was left out and says what is wrong with the rest.
func (a *API) completeGlass(b *policy.BreakGlass, who policy.Principal) error {
	if b.Subject == "" {
		if who.Kind == policy.KindOperator {
			return refuse("the operator of the machine pulls nothing: name whom the grant is for")
		}
		b.Subject, b.Issuer, b.Kind = who.ID, who.Issuer, who.Kind
	}
	b.Kind = cmp.Or(b.Kind, policy.KindUser)
	if b.Issuer == "" {
		b.Issuer = policy.LocalIssuer
		if b.Kind == policy.KindRobot {
			b.Issuer = memberRobot
		}
	}
	if b.Kind == policy.KindRobot && a.cfg.Harbor != nil {
		b.Subject = strings.TrimPrefix(b.Subject, a.harbor.RobotPrefix)
	}
	if b.Expires.IsZero() {
		b.Expires = b.Created.Add(min(usualGlass, a.cfg.BreakGlass.Max)).Truncate(time.Second)
	}
	return errors.Join(checkGlass(b), a.checkGlassEnd(b, b.Created))
}

func checkGlass(b *policy.BreakGlass) error {
	switch {
	case !slices.Contains([]policy.Kind{policy.KindUser, policy.KindRobot, policy.KindWorkload}, b.Kind):
		return refuse("a grant is for a user, a robot or a workload, not for a %s", show(string(b.Kind)))
	case b.Kind == policy.KindWorkload && b.Issuer == policy.LocalIssuer:
		return refuse("a workload has an issuer of its own")
	case len(b.Projects) == 0 || len(b.Projects) > maxGlassProjects:
		return refuse("a grant names 1 to %d projects", maxGlassProjects)
	case b.Justification == "":
		return refuse("a grant has a justification")
	case b.Ticket == "":
		return refuse("a grant has a ticket")
	}
	for _, project := range b.Projects {
		if err := CheckProjectName(project); err != nil {
			return err
		}
	}
	return errors.Join(
		checkText("a subject", b.Subject, maxName), checkText("an issuer", b.Issuer, maxName),
		checkText("a justification", b.Justification, maxJustification), checkText("a ticket", b.Ticket, maxTicket),
	)
}

// checkGlassEnd is the limit that no rule can raise.
func (a *API) checkGlassEnd(b *policy.BreakGlass, now time.Time) error {
	longest := a.cfg.BreakGlass.Max
	switch {
	case !b.Expires.After(now):
		return refuse("the grant has ended already")
	case b.Expires.Sub(now) > longest:
		return refuse("a grant lasts %s at most", longest)
	}
	return nil
}

// person refuses machines: a pipeline that opens its own way is no emergency.
func person(who policy.Principal) error {
	if who.Kind != policy.KindUser && who.Kind != policy.KindOperator {
		return refuse("a grant is asked for, approved and ended by people")
	}
	return nil
}

// glassMember reports whether the subject belongs to every project of the grant, as
// far as is known without its groups and claims, which come with a login.
func (a *API) glassMember(b policy.BreakGlass, now time.Time) (bool, error) {
	view, err := a.cfg.BreakGlass.People.View()
	if err != nil {
		return false, fmt.Errorf("read people and projects: %w", err)
	}
	who := policy.Principal{Workspace: b.Workspace, Issuer: b.Issuer, ID: b.Subject, Kind: b.Kind}
	return !slices.ContainsFunc(b.Projects, func(project string) bool {
		if b.Kind == policy.KindRobot {
			return !strings.HasPrefix(b.Subject, project+"+") // its full name begins with its project
		}
		s := view.Subject(who, project, now)
		return len(s.Roles) == 0 && len(s.Grants) == 0
	}), nil
}

func (a *API) readGlass(c *call) (plan, error) {
	p, b, err := a.grant(c)
	p.do = func(context.Context) (any, error) { return b, nil }
	return p, err
}

func (a *API) approveGlass(c *call) (plan, error) {
	body, _ := c.body.(*BreakGlassApproval)
	p, b, err := a.grant(c)
	if err != nil {
		return p, err
	}
	who, after := c.caller.Principal, b
	after.State, after.Approver, after.DecidedBy = policy.WaiverRejected, who.Label(), who.Identity()
	if body.Approve {
		after.State = policy.WaiverApproved
	}
	self, err := a.ownGlass(c, b)
	if err != nil {
		return p, err
	}
	doc := glassDoc(after)
	doc["self_decided"] = self
	p.after = doc
	switch {
	case b.State != policy.WaiverPending || b.Over(c.now):
		err = over(b.ID, "does not wait for approval any more")
	case body.Approve && self:
		err = refuse("a grant is approved by somebody else than who asked for it and who has it")
	case body.Approve:
		err = errors.Join(person(who), a.checkGlassEnd(&b, c.now))
	}
	p.do = func(ctx context.Context) (any, error) {
		return a.cfg.BreakGlass.Grants.ChangeBreakGlass(ctx, b.Workspace, b.ID, func(now *policy.BreakGlass) error {
			if now.State != policy.WaiverPending || now.Over(c.now) {
				return policy.ErrConflict
			}
			now.State, now.Approver, now.DecidedBy = after.State, after.Approver, after.DecidedBy
			return nil
		})
	}
	return p, err
}

// ownGlass reports whether the caller asked for the grant or has it, under any name.
func (a *API) ownGlass(c *call, b policy.BreakGlass) (bool, error) {
	issuer, id, _ := strings.Cut(b.RequestedBy, "#") // no issuer has one
	for _, other := range []policy.Principal{{Issuer: issuer, ID: id}, {Issuer: b.Issuer, ID: b.Subject}} {
		one, err := a.cfg.BreakGlass.People.OnePerson(c.r.Context(), b.Workspace, c.caller.Principal, other)
		if err != nil || one {
			return one, err
		}
	}
	return false, nil
}

// over is a grant about which nothing is left to say.
func over(id, how string) error {
	return errcode.New(errcode.Conflict, "grant "+id+" "+how)
}

func (a *API) endGlass(c *call) (plan, error) {
	p, b, err := a.grant(c)
	if err == nil && b.Over(c.now) {
		err = over(b.ID, "is over already")
	}
	p.do = func(ctx context.Context) (any, error) {
		return a.cfg.BreakGlass.Grants.ChangeBreakGlass(ctx, b.Workspace, b.ID, func(now *policy.BreakGlass) error {
			if now.Over(c.now) {
				return policy.ErrConflict
			}
			now.Ended, now.EndedBy = c.now, c.caller.Principal.Label()
			return nil
		})
	}
	return p, err
}

// justify says of each decision under broken glass why there was a grant.
func (a *API) justify(ctx context.Context, workspace string, records []DecisionRecord) error {
	known := map[string]string{}
	for i := range records {
		id := records[i].BreakGlass
		if id == "" {
			continue
		}
		why, seen := known[id]
		if !seen {
			b, err := a.cfg.BreakGlass.Grants.BreakGlass(ctx, workspace, id)
			if err != nil && !errors.Is(err, policy.ErrNotFound) {
				return err
			}
			why = b.Justification
			known[id] = why
		}
		records[i].Justification = why
	}
	return nil
}

// grant is the grant of the path and what the gate is asked about it: in each of its
// projects, which has people who manage it and rules of its own about emergencies.
func (a *API) grant(c *call) (plan, policy.BreakGlass, error) {
	id := c.path("grant")
	b, err := a.cfg.BreakGlass.Grants.BreakGlass(c.r.Context(), c.workspace(), id)
	if err != nil {
		return plan{project: nowhere(id).Name, id: id}, b, err
	}
	return plan{project: b.Projects[0], also: b.Projects[1:], id: b.ID, before: glassDoc(b)}, b, nil
}

// glassDoc is a grant as rules and records see it.
func glassDoc(b policy.BreakGlass) map[string]any {
	return map[string]any{
		"subject": b.Subject, "issuer": b.Issuer, "kind": b.Kind, "projects": b.Projects,
		"justification": b.Justification, "ticket": b.Ticket, "state": b.State,
		"requester": b.Requester, "requested_by": b.RequestedBy, "approver": b.Approver,
		"created": b.Created.UTC().Format(time.RFC3339), "expires": b.Expires.UTC().Format(time.RFC3339),
	}
}
