package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// withheldPaths are the parts of an input that hold what a management call was
// about, as it is stored: whoever was refused the call was refused them.
var withheldPaths = []string{"admin.before", "admin.after"}

// withholds reports whether a record is its reader's own refusal of something that
// they have no right to: then it holds what they were not to see. A refusal by rules
// of other packs is of somebody who may make the call, and is told whole.
func (c *call) withholds(rec *DecisionRecord) bool {
	who := c.caller.Principal
	if rec.Action != policy.AdminAPI && rec.Action != policy.DecisionRead ||
		rec.Verdict == policy.Allow.String() || rec.Subject != who.ID || rec.Issuer != who.Issuer {
		return false
	}
	return len(rec.Deny) == 0 || slices.ContainsFunc(rec.Deny, func(r policy.Reason) bool {
		return r.Pack == packOfRights || strings.HasPrefix(r.Code, "bondgate.")
	})
}

// packOfRights says who may do what.
const packOfRights = "rbac"

// withheld is the input of a record without what its reader was refused.
func withheld(rec DecisionRecord) (DecisionRecord, error) {
	if len(rec.Input) == 0 {
		return rec, nil
	}
	input, err := inputOf(rec.Input)
	if err != nil {
		return rec, err
	}
	if admin, ok := input["admin"].(map[string]any); ok {
		admin["before"], admin["after"] = nil, nil
	}
	if rec.Input, err = json.Marshal(input); err != nil {
		return rec, err
	}
	rec.Replayable = false
	rec.Masked = append(slices.Clone(rec.Masked), withheldPaths...)
	return rec, nil
}

// withoutWithheld leaves out of an explanation what it shows of those parts.
func withoutWithheld(x *policy.Explanation) {
	of := func(path string) bool {
		return slices.ContainsFunc(withheldPaths, func(hidden string) bool { return policy.PathsOverlap(path, hidden) })
	}
	touched := func(set []policy.Change) bool {
		return slices.ContainsFunc(set, func(c policy.Change) bool { return of(c.Path) })
	}
	for i := range x.Reasons {
		r := &x.Reasons[i]
		r.Facts = slices.DeleteFunc(r.Facts, func(f policy.Fact) bool { return of(f.Path) })
		r.Others = slices.DeleteFunc(r.Others, touched)
		if touched(r.Changes) {
			r.Changes = []policy.Change{}
		}
	}
}
