package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/invopop/jsonschema"

	"github.com/bondgate/bondgate/policy"
)

// plan is a call that is understood and not done yet: what the gate is asked,
// and what follows from an allow.
type plan struct {
	// project is where the caller's roles are looked up; empty for the system's.
	project string
	// also are more projects where the call has to be allowed, after the first.
	also []string
	// verb is asked in place of the route's, for a route whose body says which it is.
	verb string
	// id, before and after are the gate's: never a secret.
	id            string
	before, after any
	do            func(ctx context.Context) (any, error)
}

// located reports whether the plan is about something that was looked up: an error
// with such a plan may tell that it is there. A plan that fails before anything was
// looked up is the zero plan.
func (p plan) located() bool { return p.project != "" || p.id != "" || p.before != nil }

// route is one row of the table.
type route struct {
	// base is what the pattern lies below; Prefix when empty.
	base            string
	method, pattern string
	// action, resource and verb are what the gate is asked.
	action         policy.Action
	resource, verb string
	// status is that of a success with a body.
	status int
	// body makes a place for the body; nil for a route without one.
	body  func() any
	query []string
	// reply makes a value of the answer's type, for the description of the API; nil
	// for a route that answers without a body, or that is not described yet.
	reply func() any
	plan  func(*API, *call) (plan, error)
}

func bodyOf[T any]() func() any { return func() any { return new(T) } }

func replyOf[T any]() func() any { return func() any { return new(T) } }

// path is the whole pattern of the route.
func (r route) path() string { return cmp.Or(r.base, Prefix) + r.pattern }

// routes is the whole API. Each row names its action; a test walks it.
func routes() []route {
	const admin, ok, created = policy.AdminAPI, http.StatusOK, http.StatusCreated
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	all := []route{
		{method: get, pattern: "/status", action: admin, resource: "status", verb: "read", status: ok, plan: (*API).status},
		{method: post, pattern: "/reindex", action: admin, resource: "index", verb: "rebuild", status: ok, plan: (*API).reindex},
		{method: get, pattern: "/openapi.json", action: admin, resource: "self", verb: "read", status: ok, plan: (*API).describe},
		{method: get, pattern: "/schema", action: admin, resource: "schema", verb: "read", status: ok, plan: (*API).schema},

		{method: get, pattern: "/users", action: admin, resource: "user", verb: "list", status: ok, plan: (*API).listUsers},
		{method: post, pattern: "/users", action: admin, resource: "user", verb: "create", status: created, body: bodyOf[NewUser](), plan: (*API).createUser},
		{method: get, pattern: "/users/{user}", action: admin, resource: "user", verb: "read", status: ok, plan: (*API).readUser},
		{method: put, pattern: "/users/{user}/password", action: admin, resource: "user", verb: "passwd", status: ok, body: bodyOf[NewPassword](), plan: (*API).setPassword},
		{method: put, pattern: "/users/{user}/disabled", action: admin, resource: "user", verb: "update", status: ok, body: bodyOf[UserState](), plan: (*API).setDisabled},

		{method: get, pattern: "/projects", action: admin, resource: "project", verb: "list", status: ok, plan: (*API).listProjects},
		{method: post, pattern: "/projects", action: admin, resource: "project", verb: "create", status: created, body: bodyOf[NewProject](), plan: (*API).createProject},
		{method: get, pattern: "/projects/{project}", action: admin, resource: "project", verb: "read", status: ok, plan: (*API).readProject},
		{method: patch, pattern: "/projects/{project}", action: admin, resource: "project", verb: "update", status: ok, body: bodyOf[ProjectChange](), plan: (*API).updateProject},

		{method: get, pattern: "/projects/{project}/members", action: admin, resource: "member", verb: "list", status: ok, plan: (*API).listMembers},
		{method: put, pattern: "/projects/{project}/members/{kind}/{name}", action: admin, resource: "member", verb: "update", status: ok, query: []string{"issuer", "repositories"}, body: bodyOf[NewMember](), plan: (*API).setMember},
		{method: del, pattern: "/projects/{project}/members/{kind}/{name}", action: admin, resource: "member", verb: "delete", status: ok, query: []string{"issuer", "repositories"}, plan: (*API).removeMember},
	}
	all = append(append(all, waiverRoutes()...), breakglassRoutes()...)
	all = append(all, policyRoutes()...)
	all = append(all, explainRoutes()...)
	return append(all, decisionRoutes()...)
}

// Route is one row of the table as a reader of the API sees it.
type Route struct {
	Method   string             `json:"method"`
	Path     string             `json:"path"`
	Action   policy.Action      `json:"action"`
	Resource string             `json:"resource"`
	Verb     string             `json:"verb"`
	Query    []string           `json:"query,omitempty"`
	Body     *jsonschema.Schema `json:"body"`
}

// Routes describes the API: every route, what it asks the gate and the JSON
// Schema of its body (one that nothing satisfies, where no body is expected).
func Routes() []Route {
	reflector := newReflector()
	table := routes()
	out := make([]Route, 0, len(table))
	for _, r := range table {
		schema := jsonschema.FalseSchema
		if r.body != nil {
			schema = reflector.Reflect(r.body())
			schema.Version = ""
		}
		out = append(out, Route{
			Method: r.method, Path: r.path(), Action: r.action,
			Resource: r.resource, Verb: r.verb, Query: r.query, Body: schema,
		})
	}
	return out
}
