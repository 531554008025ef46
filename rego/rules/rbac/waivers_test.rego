package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures

here(state, by) := {"scope": {"projects": ["payments"], "repositories": ["payments/*"]}, "state": state, "requested_by": by}

there(state, by) := {"scope": {"projects": ["other"]}, "state": state, "requested_by": by}

test_a_developer_asks_for_a_waiver_in_the_project_and_nowhere_else if {
	allowed with input as call(["developer"], "waiver", "request", {"after": here("pending", "local#alice")})
	not allowed with input as call(["guest"], "waiver", "request", {"after": here("pending", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "request", {"after": there("pending", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "request", {"after": {"scope": {"projects": []}, "state": "pending"}})
	not allowed with input as call(["developer"], "waiver", "request", {"after": {"scope": {"projects": ["payments", "other"]}, "state": "pending"}})
}

test_a_developer_neither_makes_nor_approves_one if {
	not allowed with input as call(["developer"], "waiver", "create", {"after": here("approved", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "request", {"after": here("approved", "local#alice")})
	not allowed with input as call(["maintainer"], "waiver", "approve", {"before": here("pending", "local#bob"), "after": here("approved", "local#bob")})
	not allowed with input as call(["maintainer"], "waiver", "reject", {"before": here("pending", "local#bob"), "after": here("rejected", "local#bob")})
	allowed with input as call(["projectAdmin"], "waiver", "approve", {"before": here("pending", "local#bob"), "after": here("approved", "local#bob")})
}

test_a_request_is_changed_by_who_made_it_until_it_is_approved if {
	allowed with input as call(["developer"], "waiver", "update", {"before": here("pending", "local#alice"), "after": here("pending", "local#alice")})
	allowed with input as call(["developer"], "waiver", "delete", {"before": here("rejected", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "delete", {"before": here("approved", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "update", {"before": here("pending", "local#alice"), "after": here("approved", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "update", {"before": here("pending", "local#alice"), "after": there("pending", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "update", {"before": here("pending", "local#bob"), "after": here("pending", "local#alice")})
	not allowed with input as call(["developer"], "waiver", "update", {"before": here("pending", "https://sso#alice"), "after": here("pending", "local#alice")})
	not allowed with input as call([], "waiver", "delete", {"before": here("pending", "local#alice")})
}

test_a_machine_and_a_limited_credential_ask_for_nothing if {
	asked := call(["developer"], "waiver", "request", {"after": here("pending", "local#alice")})
	not allowed with input as object.union(asked, {"subject": {"kind": "robot"}})
	not allowed with input as object.union(asked, {"subject": {"kind": "workload"}})
	not allowed with input as object.union(asked, {"subject": {"limits": [{"repositories": null, "role": "developer", "rights": []}]}})
}

test_who_pushes_sees_the_waivers_of_the_project if {
	allowed with input as call(["developer"], "waiver", "list", {})
	allowed with input as call(["developer"], "waiver", "read", {"before": here("approved", "local#bob")})
	not allowed with input as call(["guest"], "waiver", "list", {})
	not allowed with input as call(["developer"], "waiver", "read", {"before": there("approved", "local#bob")})
	not allowed with input as object.union(call(["developer"], "waiver", "list", {}), {"project": {"exists": false}})
}

test_a_grant_for_a_part_of_the_project_asks_for_nothing if {
	asked := call([], "waiver", "request", {"after": here("pending", "local#alice")})
	part := {"repositories": "payments/api", "role": "developer", "rights": []}
	not allowed with input as object.union(asked, {"subject": object.union(fixtures.subject("alice", []), {"grants": [part]}), "repository": {"name": "payments"}})
}
