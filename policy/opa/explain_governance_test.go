package opa_test

import (
	"encoding/json"
	"maps"

	"github.com/bondgate/bondgate/policy"
)

// governanceFirings are exceptions that the pack governance does not let anybody make.
func governanceFirings(ev policy.Evaluator) []firing {
	facts := func(resource, verb, config string, after, changes map[string]any) policy.Facts {
		f := ask(ev, "projectAdmin", policy.AdminAPI, false)
		own := []policy.Pack{{Name: "governance", Mode: policy.ModeDeny, Config: json.RawMessage(config)}}
		f.Project.Packs, f.Packs = own, ev.Packs(own)
		after = maps.Clone(after)
		maps.Copy(after, changes)
		f.Request.Admin = &policy.AdminCall{Resource: resource, Verb: verb, ID: "X-1", After: after}
		return f
	}
	waiver := func(verb, config string, changes map[string]any) policy.Facts {
		return facts("waiver", verb, config, map[string]any{
			"rule": "image.root_user", "terms": []any{}, "scope": map[string]any{"projects": []any{"payments"}},
			"reason": "not reachable", "ticket": "SEC-412", "owner": "carol", "approver": "", "requester": "alice",
			"requested_by": "local#alice", "decided_by": "", "self_decided": false, "state": "pending", "expires": "2026-10-01T00:00:00Z",
		}, changes)
	}
	glass := func(verb, config string) policy.Facts {
		return facts("breakglass", verb, config, map[string]any{
			"state": "approved", "ticket": "INC-1", "justification": "rollback", "projects": []any{"payments"},
			"subject": "alice", "issuer": "local", "expires": "2026-09-21T18:00:00Z",
		}, nil)
	}
	approved := map[string]any{"state": "approved", "self_decided": true}
	return []firing{
		{"governance.waiver_too_long", "X-1", "not short_enough", waiver("request", `{"max_days":1}`, nil), "admin.after.expires"},
		{"governance.second_person", "X-1", "some why in one_person", waiver("approve", `{"second_person":true}`, approved), "admin.after.self_decided"},
		{"governance.never_waived", "X-1", "some listed in config.never_waive", waiver("request", `{"never_waive":["image.root*"]}`, nil), "admin.after.rule"},
		{"governance.ticket", "X-1", "config.ticket_required", waiver("request", `{"ticket_required":true}`, map[string]any{"ticket": ""}), "admin.after.ticket"},
		{"governance.ticket", "X-1", "config.ticket_pattern", waiver("request", `{"ticket_pattern":"OPS-*"}`, nil), "admin.after"},
		{"governance.reason", "X-1", "config.reason_required", waiver("request", `{"reason_required":true}`, map[string]any{"reason": " "}), "admin.after.reason"},
		{"governance.config", "max_day", "not startswith(key, \"breakglass\")", waiver("request", `{"max_day":1}`, nil), "project.packs[0].config.max_day"},
		{"governance.breakglass_too_long", "X-1", "not glass_short_enough", glass("create", `{"breakglass_max_minutes":30}`), "admin.after.expires"},
		{"governance.breakglass_second_person", "X-1", "config.breakglass_second_person", glass("create", `{"breakglass_second_person":true}`), "project.packs[0].config.breakglass_second_person"},
		{"governance.breakglass_ticket", "X-1", "config.breakglass_ticket_pattern", glass("create", `{"breakglass_ticket_pattern":"OPS-*"}`), "admin.after.ticket"},
		{"governance.scope", "X-1", "config.scope_required", waiver("request", `{"scope_required":true}`,
			map[string]any{"scope": map[string]any{"projects": []any{}, "repositories": []any{}, "digests": []any{}}}), "admin.after.scope.projects"},
	}
}
