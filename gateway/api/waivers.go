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

// Waivers are the rules that are lifted for a while.
type Waivers interface {
	Waivers(ctx context.Context, workspace string) ([]policy.Waiver, error)
	// AddWaiver fails with [policy.ErrConflict] for an id that is taken.
	AddWaiver(ctx context.Context, w policy.Waiver) (policy.Waiver, error)
	// ChangeWaiver and DeleteWaiver fail with [policy.ErrConflict] when the waiver is
	// not of the version any more.
	ChangeWaiver(ctx context.Context, w policy.Waiver) (policy.Waiver, error)
	DeleteWaiver(ctx context.Context, workspace, id, version string) error
}

// WaiverSources are what else is known about waivers.
type WaiverSources interface {
	// FileWaivers are those of the bundle in force.
	FileWaivers() []policy.Waiver
	// OnePerson reports whether two people, by issuer and id, are one: the same, or linked.
	OnePerson(ctx context.Context, workspace string, a, b policy.Principal) (bool, error)
}

// soon is how long before its end a waiver is expiring, unless a call says another time.
const soon = 7 * 24 * time.Hour

// mostAsked is how many waivers of one person wait for a decision at most: whoever may
// ask must not fill the database.
const mostAsked = 100

// mostProjects is in how many projects one waiver is judged at most.
const mostProjects = 1000

// Waiver is a waiver as the API shows it.
type Waiver struct {
	policy.Waiver
	// Standing is what it amounts to now: pending, active, expiring, expired or rejected.
	Standing policy.WaiverStanding `json:"standing"`
}

// NewWaiver is a waiver to be made, or to be asked for: with the state "pending".
// An empty ID is filled in, an empty owner is the caller. Who asked for it and who
// approved it is never the body's to say.
type NewWaiver struct {
	ID           string             `json:"id,omitempty"`
	State        policy.WaiverState `json:"state,omitempty" jsonschema:"enum=pending,enum=approved"`
	Rule         string             `json:"rule"`
	Terms        []string           `json:"terms,omitempty"`
	Projects     []string           `json:"projects,omitempty"`
	Repositories []string           `json:"repositories,omitempty"`
	Digests      []string           `json:"digests,omitempty"`
	Reason       string             `json:"reason,omitempty"`
	Ticket       string             `json:"ticket,omitempty"`
	Owner        string             `json:"owner,omitempty"`
	Expires      time.Time          `json:"expires"`
}

// WaiverChange changes what it names and leaves the rest. Anything but an earlier end
// makes the waiver pending, with the caller as the one who asks.
type WaiverChange struct {
	// Version is the one that was read; empty for whichever there is.
	Version      string     `json:"version,omitempty"`
	Rule         *string    `json:"rule,omitempty"`
	Terms        *[]string  `json:"terms,omitempty"`
	Projects     *[]string  `json:"projects,omitempty"`
	Repositories *[]string  `json:"repositories,omitempty"`
	Digests      *[]string  `json:"digests,omitempty"`
	Reason       *string    `json:"reason,omitempty"`
	Ticket       *string    `json:"ticket,omitempty"`
	Owner        *string    `json:"owner,omitempty"`
	Expires      *time.Time `json:"expires,omitempty"`
}

// WaiverApproval approves the version of a waiver that was read, or rejects it.
type WaiverApproval struct {
	Approve *bool  `json:"approve"`
	Version string `json:"version"`
	Reason  string `json:"reason,omitempty"`
}

// waiverRoutes are the part of the table about waivers.
func waiverRoutes() []route {
	const one, admin = "/waivers/{waiver}", policy.AdminAPI
	return []route{
		{method: http.MethodGet, pattern: "/waivers", action: admin, resource: "waiver", verb: "list", status: http.StatusOK, query: []string{"project", "state", "within"}, reply: replyOf[[]Waiver](), plan: (*API).listWaivers},
		{method: http.MethodPost, pattern: "/waivers", action: admin, resource: "waiver", verb: "create", status: http.StatusCreated, body: bodyOf[NewWaiver](), reply: replyOf[Waiver](), plan: (*API).createWaiver},
		{method: http.MethodGet, pattern: one, action: admin, resource: "waiver", verb: "read", status: http.StatusOK, query: []string{"origin"}, reply: replyOf[Waiver](), plan: (*API).readWaiver},
		{method: http.MethodPatch, pattern: one, action: admin, resource: "waiver", verb: "update", status: http.StatusOK, body: bodyOf[WaiverChange](), reply: replyOf[Waiver](), plan: (*API).updateWaiver},
		{method: http.MethodPut, pattern: one + "/approval", action: admin, resource: "waiver", verb: "approve", status: http.StatusOK, body: bodyOf[WaiverApproval](), reply: replyOf[Waiver](), plan: (*API).decideWaiver},
		{method: http.MethodDelete, pattern: one, action: admin, resource: "waiver", verb: "delete", status: http.StatusOK, plan: (*API).deleteWaiver},
	}
}

func (a *API) createWaiver(c *call) (plan, error) {
	body, _ := c.body.(*NewWaiver)
	who := c.caller.Principal
	w := policy.Waiver{
		ID: body.ID, Workspace: c.workspace(), Rule: body.Rule, Terms: body.Terms,
		Projects: body.Projects, Repositories: body.Repositories, Digests: body.Digests,
		Reason: body.Reason, Ticket: body.Ticket, Owner: cmp.Or(body.Owner, who.Label()),
		Requester: who.Label(), RequestedBy: who.Identity(), Created: c.now,
		Expires: wholeSecond(body.Expires), State: policy.WaiverPending, Origin: policy.WaiverOfAPI,
	}
	if w.ID == "" {
		w.ID = fmt.Sprintf("W-%d-%s", c.now.Year(), strings.ToLower(rand.Text()[:8]))
	}
	verb := "request"
	switch body.State {
	case policy.WaiverPending:
	case "", policy.WaiverApproved:
		verb = "create"
		approve(&w, c, policy.WaiverApproved, "")
	default:
		return plan{}, refuse("a new waiver is pending or approved, not %s", show(string(body.State)))
	}
	if err := checkWaiver(w, c.now); err != nil {
		return plan{}, err
	}
	p, err := a.waiverPlan(c, verb, nil, &w)
	if err != nil {
		return p, err
	}
	if _, found, err := a.waiver(c, w.ID); err != nil {
		return p, err
	} else if found {
		return p, fmt.Errorf("make waiver %s: %w", w.ID, policy.ErrConflict)
	}
	p.do = func(ctx context.Context) (any, error) {
		if err := a.mayAsk(ctx, w); err != nil {
			return nil, err
		}
		made, err := a.cfg.Waivers.AddWaiver(ctx, w)
		return shownWaiver(made, c.now, soon), err
	}
	return p, nil
}

// mayAsk refuses one more request of somebody with too many of them.
func (a *API) mayAsk(ctx context.Context, w policy.Waiver) error {
	if w.State != policy.WaiverPending {
		return nil
	}
	all, err := a.cfg.Waivers.Waivers(ctx, w.Workspace)
	if err != nil {
		return err
	}
	waiting := 0
	for i := range all {
		if all[i].RequestedBy == w.RequestedBy && all[i].State != policy.WaiverApproved {
			waiting++
		}
	}
	if waiting >= mostAsked {
		return refuse("%s has asked for %d waivers that were not approved: take one back first", w.Requester, waiting)
	}
	return nil
}

func (a *API) updateWaiver(c *call) (plan, error) {
	body, _ := c.body.(*WaiverChange)
	was, p, err := a.waiverAt(c, "update")
	if err != nil {
		return p, err
	}
	w := body.apply(was)
	if changed(was, w) {
		w.State, w.Approver, w.DecidedBy, w.Decided, w.Remark = policy.WaiverPending, "", "", time.Time{}, ""
		w.Requester, w.RequestedBy = c.caller.Principal.Label(), c.caller.Principal.Identity()
	}
	if p, err = a.waiverPlan(c, "update", &was, &w); err != nil {
		return p, err
	}
	if err := checkWaiver(w, c.now); err != nil {
		return p, err
	}
	if body.Version != "" && body.Version != was.Version {
		return p, errWaiverChanged
	}
	p.do = a.changeWaiver(c, w)
	return p, nil
}

// apply answers the waiver with what is changed.
func (b *WaiverChange) apply(w policy.Waiver) policy.Waiver {
	for to, from := range map[*string]*string{&w.Rule: b.Rule, &w.Reason: b.Reason, &w.Ticket: b.Ticket, &w.Owner: b.Owner} {
		if from != nil {
			*to = *from
		}
	}
	for to, from := range map[*[]string]*[]string{
		&w.Terms: b.Terms, &w.Projects: b.Projects, &w.Repositories: b.Repositories, &w.Digests: b.Digests,
	} {
		if from != nil {
			*to = *from
		}
	}
	if b.Expires != nil {
		w.Expires = wholeSecond(*b.Expires)
	}
	return w
}

// changed reports whether a waiver became another one: anything but its end is
// different, or the end is later, or it was refused and is asked for again. Whoever
// approved it approved the other.
func changed(was, now policy.Waiver) bool {
	if was.State == policy.WaiverRejected || now.Expires.After(was.Expires) {
		return true
	}
	return was.Rule != now.Rule || was.Reason != now.Reason || was.Ticket != now.Ticket || was.Owner != now.Owner ||
		!slices.Equal(was.Terms, now.Terms) || !slices.Equal(was.Projects, now.Projects) ||
		!slices.Equal(was.Repositories, now.Repositories) || !slices.Equal(was.Digests, now.Digests)
}

func (a *API) decideWaiver(c *call) (plan, error) {
	body, _ := c.body.(*WaiverApproval)
	if body.Approve == nil || body.Version == "" {
		return plan{}, refuse("an approval says whether (approve) and of which version (version) of the waiver")
	}
	verb, state := "approve", policy.WaiverApproved
	if !*body.Approve {
		verb, state = "reject", policy.WaiverRejected
	}
	was, p, err := a.waiverAt(c, verb)
	if err != nil {
		return p, err
	}
	w := was
	approve(&w, c, state, body.Reason)
	if p, err = a.waiverPlan(c, verb, &was, &w); err != nil {
		return p, err
	}
	switch {
	case was.State != policy.WaiverPending:
		return p, errcode.New(errcode.Conflict, fmt.Sprintf("waiver %s does not wait for approval: it is %s", was.ID, was.State))
	case was.Version != body.Version:
		return p, errWaiverChanged
	}
	if err := checkWaiver(w, c.now); err != nil {
		return p, err
	}
	p.do = a.changeWaiver(c, w)
	return p, nil
}

// approve writes down who decided.
func approve(w *policy.Waiver, c *call, state policy.WaiverState, remark string) {
	w.State, w.Decided, w.Remark = state, c.now, remark
	w.Approver, w.DecidedBy = c.caller.Principal.Label(), c.caller.Principal.Identity()
}

// errWaiverChanged is told instead of a decision about something that nobody read.
var errWaiverChanged = errcode.New(errcode.Conflict, "the waiver has changed since it was read: look at it again")

func (a *API) changeWaiver(c *call, w policy.Waiver) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		now, err := a.cfg.Waivers.ChangeWaiver(ctx, w)
		if errors.Is(err, policy.ErrConflict) {
			return nil, errWaiverChanged
		}
		return shownWaiver(now, c.now, soon), err
	}
}

func (a *API) deleteWaiver(c *call) (plan, error) {
	w, p, err := a.waiverAt(c, "delete")
	if err != nil {
		return p, err
	}
	p.do = func(ctx context.Context) (any, error) {
		err := a.cfg.Waivers.DeleteWaiver(ctx, c.workspace(), w.ID, w.Version)
		if errors.Is(err, policy.ErrConflict) {
			return nil, errWaiverChanged
		}
		return nil, err
	}
	return p, nil
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// checkWaiver says what is wrong with a waiver that is to be kept.
func checkWaiver(w policy.Waiver, now time.Time) error {
	if err := w.Check(); err != nil {
		return err
	}
	for _, project := range w.Projects {
		if err := CheckProjectName(project); err != nil {
			return err
		}
	}
	if !w.Expires.After(now) {
		return refuse("the waiver has expired already")
	}
	return nil
}
