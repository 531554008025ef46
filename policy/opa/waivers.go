package opa

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// maxFileWaivers bounds the waivers of all files of a bundle.
const maxFileWaivers = 10000

// isWaivers tells the files of waivers: waivers.json beside the rules, and what is in
// the folder waivers.
func (f File) isWaivers() bool { return IsWaivers(f.Path) }

// IsWaivers reports whether a file of a bundle holds waivers.
func IsWaivers(name string) bool {
	return name == "waivers.json" || path.Dir(name) == "waivers" && path.Ext(name) == ".json"
}

// fileWaiver is a waiver as authors write it: the policy contract, "Waivers are data".
type fileWaiver struct {
	Rule  string   `json:"rule"`
	Terms []string `json:"terms"`
	Scope struct {
		Projects     []string `json:"projects"`
		Repositories []string `json:"repositories"`
		Digests      []string `json:"digests"`
	} `json:"scope"`
	Reason   string    `json:"reason"`
	Ticket   string    `json:"ticket"`
	Owner    string    `json:"owner"`
	Approver string    `json:"approver"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
}

// waiversOf reads the waivers of a source, by id. A file of them is as strict as a
// rule: what is not understood is an error with its place.
func waiversOf(src Source) ([]policy.Waiver, error) {
	var all []policy.Waiver
	in := map[string]string{}
	var wrong []error
	for _, f := range src.Files {
		if !f.isWaivers() {
			continue
		}
		found, err := ReadWaivers(f)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		for _, w := range found {
			if other := in[w.ID]; other != "" {
				wrong = append(wrong, fmt.Errorf("%s: %s: it stands in %s too", f.key(), w.ID, other))
			}
			in[w.ID] = f.key()
		}
		if all = append(all, found...); len(all) > maxFileWaivers {
			wrong = append(wrong, fmt.Errorf("%s: there are more than %d waivers", f.key(), maxFileWaivers))
			break
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("read waivers: %w: %w", errors.Join(wrong...), policy.ErrInvalid)
	}
	slices.SortFunc(all, func(a, b policy.Waiver) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// ReadWaivers reads one file of waivers by id, or says where it is wrong.
func ReadWaivers(f File) ([]policy.Waiver, error) {
	var byID map[string]jsontext.Value
	// A key that is there twice is an error of this decoder by itself.
	if err := json.Unmarshal(f.Data, &byID); err != nil {
		return nil, fmt.Errorf("%s: %w", f.key(), err)
	}
	if byID == nil {
		return nil, fmt.Errorf("%s: it is an object of waivers by id", f.key())
	}
	var out []policy.Waiver
	var wrong []error
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		w, err := readWaiver(id, byID[id])
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %s: %w", f.key(), id, err))
			continue
		}
		out = append(out, w)
	}
	return out, errors.Join(wrong...)
}

func readWaiver(id string, raw jsontext.Value) (policy.Waiver, error) {
	var in fileWaiver
	if err := json.Unmarshal(raw, &in, json.RejectUnknownMembers(true)); err != nil {
		return policy.Waiver{}, err
	}
	w := policy.Waiver{
		ID: id, Rule: in.Rule, Terms: in.Terms,
		Projects: in.Scope.Projects, Repositories: in.Scope.Repositories, Digests: in.Scope.Digests,
		Reason: in.Reason, Ticket: in.Ticket, Owner: in.Owner, Approver: in.Approver,
		Created: in.Created.UTC(), Expires: in.Expires.UTC().Truncate(time.Second),
		State: policy.WaiverApproved, Origin: policy.WaiverOfBundle,
	}
	return w, w.Check()
}

// FileWaivers are all waivers of the bundle's own files, by id, expired ones included.
func (e *Evaluator) FileWaivers() []policy.Waiver { return slices.Clone(e.fileWaivers) }

// warnWaivers tells of waivers that lift nothing.
func warnWaivers(waivers []policy.Waiver, rules map[string]map[string]map[string]any) []string {
	stays := map[string]bool{}
	for _, codes := range rules {
		for code, said := range codes {
			stays[code] = stays[code] || said["waivable"] == false
		}
	}
	var out []string
	for _, w := range waivers {
		if stays[w.Rule] {
			out = append(out, fmt.Sprintf("waiver %s lifts nothing: the rule %s is not waivable", w.ID, w.Rule))
		}
	}
	return out
}
