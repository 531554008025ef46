package policy

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
)

// Facts are everything that a decision depends on.
type Facts struct {
	Request Request
	Subject Subject
	Project Project
	// ProjectExists is false for a project that nobody made yet.
	ProjectExists bool
	Packs         []Pack
	// Waivers are those of the directory and of the bundle, by id.
	Waivers []Waiver
	// BreakGlass is the subject's grant for an emergency, nil for none.
	BreakGlass *BreakGlass
	// Scopes are the requested scopes of a token with what the subject is in
	// each scope's project.
	Scopes   []ScopeFacts
	Revision string
}

// ScopeFacts is one requested scope and who the subject is where it points.
type ScopeFacts struct {
	Scope         Scope
	Subject       Subject
	Project       Project
	ProjectExists bool
}

// Needs is what has to be known for a set of packs to decide about an action.
type Needs struct {
	// Groups are the fact groups that some pack reads, sorted: "base",
	// "signatures", "sbom", "vulnerabilities" and so on.
	Groups []string
}

// Evaluator is one immutable bundle of policy, ready to decide. Decide is a pure
// function of the facts and the bundle: no clock, no network, no database.
type Evaluator interface {
	// Revision names the bundle.
	Revision() string
	// Packs completes a project's own modes with the bundle's: which packs are
	// to be evaluated, by name, with mode and configuration. A pack that is
	// required and not loaded is in the answer; the decision denies for it.
	Packs(own []Pack) []Pack
	Needs(action Action, packs []Pack) Needs
	// Reads lists the paths of the input (dotted) that the bundle can read for
	// the action. A nil answer means that it may read all of it. It is asked for with
	// each decision and is not to be changed.
	Reads(action Action) []string
	// Waivers are those that the bundle itself has, that match and are in force at at.
	Waivers(repo Repository, d digest.Digest, at time.Time) []Waiver
	// Decide fails with [ErrUnavailable] when no decision is possible.
	Decide(ctx context.Context, f Facts) (Decision, error)
}

// Bundles hands out the evaluator in force. It fails with [ErrUnavailable] when
// there is none.
type Bundles interface {
	Current() (Evaluator, error)
}
