package bondgate.rules.governance_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.governance

# The time of the fixtures is 2026-09-21T14:13:20Z.
waiver(changes) := object.union(
	{
		"rule": "vuln.critical_fixable", "terms": ["CVE-2024-1234"],
		"scope": {"projects": ["payments"], "repositories": [], "digests": []},
		"reason": "not reachable", "ticket": "SEC-412", "owner": "carol", "approver": "",
		"requester": "bob", "requested_by": "local#bob", "decided_by": "", "self_decided": false,
		"state": "pending", "created": "2026-09-21T14:13:20Z", "expires": "2026-10-21T14:13:20Z",
	},
	changes,
)

call(verb, admin, config) := fixtures.input_for("admin.api", {
	"subject": fixtures.subject("alice", ["projectAdmin"]),
	"project": {"packs": [
		{"name": "rbac", "mode": "deny", "config": {}},
		{"name": "governance", "mode": "deny", "config": config},
	]},
	"admin": object.union({"resource": "waiver", "verb": verb, "id": "W-1", "before": null, "after": null, "auto": null}, admin),
})

request(changes, config) := call("request", {"after": waiver(changes)}, config)

approval(changes, config) := call("approve", {"before": waiver({}), "after": waiver(object.union({"state": "approved"}, changes))}, config)

codes := {entry.code | some entry in governance.deny}

test_without_a_configuration_nothing_is_asked if {
	count(codes) == 0 with input as request({"ticket": "", "reason": "", "expires": "2099-01-01T00:00:00Z"}, {})
	count(codes) == 0 with input as approval({"self_decided": true}, {})
}

test_thirty_days_are_thirty_days if {
	count(codes) == 0 with input as request({}, {"max_days": 30})
	codes == {"governance.waiver_too_long"} with input as request({"expires": "2026-10-21T14:13:21Z"}, {"max_days": 30})
	codes == {"governance.waiver_too_long"} with input as approval({"expires": "2026-10-21T14:13:21Z"}, {"max_days": 30})
	codes == {"governance.waiver_too_long"} with input as call("update", {"before": waiver({}), "after": waiver({"expires": "2026-10-22T00:00:00Z"})}, {"max_days": 30})
}

test_an_end_beyond_all_counting_is_too_long if {
	codes == {"governance.waiver_too_long"} with input as request({"expires": "9999-01-01T00:00:00Z"}, {"max_days": 30})
	codes == {"governance.waiver_too_long"} with input as request({"expires": null}, {"max_days": 30})
}

test_whoever_asked_does_not_approve if {
	count(codes) == 0 with input as approval({}, {"second_person": true})
	codes == {"governance.second_person"} with input as approval({"self_decided": true}, {"second_person": true})
}

test_what_is_not_known_about_the_two_is_no_second_person if {
	codes == {"governance.second_person"} with input as approval({"self_decided": null}, {"second_person": true})
}

test_the_owner_does_not_approve if {
	codes == {"governance.second_person"} with input as approval({"owner": "Alice"}, {"second_person": true})
}

test_a_machine_is_no_second_person if {
	codes == {"governance.second_person"} with input as object.union(approval({}, {"second_person": true}), {"subject": {"kind": "robot"}})
}

test_a_waiver_made_at_once_has_no_second_person if {
	made := call("create", {"after": waiver({"state": "approved", "self_decided": true})}, {"second_person": true})
	codes == {"governance.second_person"} with input as made
}

test_asking_is_free if {
	count(codes) == 0 with input as request({"self_decided": true, "owner": "alice"}, {"second_person": true})
}

test_listed_rules_are_never_waived if {
	codes == {"governance.never_waived"} with input as request({}, {"never_waive": ["vuln.critical_fixable"]})
	codes == {"governance.never_waived"} with input as request({}, {"never_waive": ["vuln.*"]})
	codes == {"governance.never_waived"} with input as request({}, {"never_waive": ["*"]})
	count(codes) == 0 with input as request({}, {"never_waive": ["vuln.known_exploited", "image.*"]})
}

test_listed_terms_are_never_waived if {
	codes == {"governance.never_waived"} with input as request({}, {"never_waive": ["vuln.*|CVE-2024-1234"]})
	codes == {"governance.never_waived"} with input as request({"terms": ["CVE-2020-1", "CVE-2024-1234"]}, {"never_waive": ["*|CVE-2024-*"]})
	count(codes) == 0 with input as request({}, {"never_waive": ["vuln.*|CVE-2024-3094"]})
	count(codes) == 0 with input as request({}, {"never_waive": ["image.*|CVE-2024-1234"]})
}

test_a_waiver_of_all_terms_lifts_the_listed_one_too if {
	codes == {"governance.never_waived"} with input as request({"terms": []}, {"never_waive": ["vuln.*|CVE-2024-3094"]})
}

test_a_term_with_a_bar_is_matched_whole if {
	codes == {"governance.never_waived"} with input as request({"terms": ["a|b"]}, {"never_waive": ["vuln.*|a|b"]})
	count(codes) == 0 with input as request({"terms": ["a|c"]}, {"never_waive": ["vuln.*|a|b"]})
}

test_a_listed_rule_is_not_approved_either if {
	codes == {"governance.never_waived"} with input as approval({}, {"never_waive": ["vuln.*"]})
}

test_a_ticket_is_asked_for if {
	count(codes) == 0 with input as request({}, {"ticket_required": true, "ticket_pattern": "SEC-*"})
	codes == {"governance.ticket"} with input as request({"ticket": " "}, {"ticket_required": true})
	codes == {"governance.ticket"} with input as request({"ticket": "later"}, {"ticket_pattern": "SEC-*"})
}

test_a_reason_is_asked_for if {
	codes == {"governance.reason"} with input as request({"reason": ""}, {"reason_required": true})
	count(codes) == 0 with input as request({}, {"reason_required": true})
}

test_a_waiver_is_for_something if {
	wide := {"scope": {"projects": [], "repositories": [], "digests": []}}
	codes == {"governance.scope"} with input as request(wide, {"scope_required": true})
	count(codes) == 0 with input as request({}, {"scope_required": true})
	count(codes) == 0 with input as request({"scope": {"projects": [], "digests": ["sha256:aa"]}}, {"scope_required": true})
}

test_rejecting_removing_and_ending_earlier_are_free if {
	config := {"max_days": 1, "second_person": true, "never_waive": ["*"], "ticket_pattern": "X"}
	count(codes) == 0 with input as call("reject", {"before": waiver({}), "after": waiver({"state": "rejected", "self_decided": true})}, config)
	count(codes) == 0 with input as call("delete", {"before": waiver({})}, config)
	count(codes) == 0 with input as call("update", {"before": waiver({"state": "approved"}), "after": waiver({"state": "approved"})}, config)
	count(codes) == 4 with input as call("update", {"before": waiver({"state": "approved"}), "after": waiver({})}, object.union(config, {"reason_required": true, "scope_required": "x"}))
}

test_other_calls_are_not_judged if {
	count(codes) == 0 with input as fixtures.input_for("admin.api", {
		"project": {"packs": [{"name": "governance", "mode": "deny", "config": {"max_days": 1}}]},
		"admin": {"resource": "member", "verb": "update", "id": "x", "before": null, "after": {"role": "guest"}, "auto": null},
	})
}

test_a_key_that_nobody_knows_is_no_limit if {
	codes == {"governance.config"} with input as request({}, {"max_day": 30})
	codes == {"governance.config", "governance.waiver_too_long"} with input as request({}, {"max_days": "30"})
	codes == {"governance.config"} with input as request({}, {"never_waive": "vuln.*"})
	codes == {"governance.config"} with input as request({}, {"never_waive": [["vuln.*"]]})
}
