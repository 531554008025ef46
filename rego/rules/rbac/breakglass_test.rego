package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures

emergency(more) := object.union(
	{
		"subject": "alice", "issuer": "local", "kind": "user", "projects": ["payments"], "state": "approved",
		"justification": "rollback", "ticket": "INC-1", "expires": "2026-09-21T15:00:00Z",
		"requested_by": "local#alice", "member": true,
	},
	more,
)

glass(roles, verb, more) := object.union(call(roles, "breakglass", verb, {}), {"admin": object.union({"resource": "breakglass", "verb": verb, "id": "bg-1", "before": null, "after": null, "auto": null}, more)})

codes := {entry.code | some entry in data.bondgate.rules.rbac.deny}

test_whoever_manages_a_project_opens_glass_in_it if {
	allowed with input as glass(["projectAdmin"], "create", {"after": emergency({})})
	allowed with input as glass(["projectAdmin"], "create", {"after": emergency({"subject": "bob"})})
	allowed with input as glass(["projectAdmin"], "create", {"after": emergency({"projects": ["other", "payments"]})})
	allowed with input as glass(["projectAdmin"], "create", {"after": emergency({"member": false})})
	allowed with input as glass(["admin"], "create", {"after": emergency({"subject": "bob", "member": false, "projects": ["other"]})})
	not allowed with input as glass(["projectAdmin"], "create", {"after": emergency({"subject": "bob", "member": false})})
	not allowed with input as glass(["projectAdmin"], "create", {"after": emergency({"projects": ["other"]})})
	not allowed with input as glass(["projectAdmin"], "create", {"before": emergency({}), "after": emergency({})})
	not allowed with input as glass(["maintainer"], "create", {"after": emergency({})})
	not allowed with input as glass([], "create", {"after": emergency({})})
}

test_whoever_pushes_asks_for_their_own if {
	pending := emergency({"state": "pending"})
	allowed with input as glass(["developer"], "request", {"after": pending})
	not allowed with input as glass(["guest"], "request", {"after": pending})
	not allowed with input as glass(["developer"], "create", {"after": pending})
	not allowed with input as glass(["developer"], "request", {"after": emergency({})})
	not allowed with input as glass(["developer"], "request", {"after": object.union(pending, {"subject": "bob"})})
	not allowed with input as glass(["developer"], "request", {"after": object.union(pending, {"issuer": "https://sso"})})
	not allowed with input as glass(["developer"], "request", {"after": object.union(pending, {"projects": ["other"]})})
	limited := object.union(fixtures.subject("alice", ["developer"]), {"limits": [{"repositories": null, "role": "developer", "rights": []}]})
	not allowed with input as object.union(glass(["developer"], "request", {"after": pending}), {"subject": limited})
}

test_nobody_approves_their_own if {
	before := emergency({"state": "pending", "subject": "bob"})
	after := emergency({"subject": "bob", "self_decided": false})
	allowed with input as glass(["projectAdmin"], "approve", {"before": before, "after": after})
	allowed with input as glass(["admin"], "approve", {"before": before, "after": after})
	not allowed with input as glass(["developer"], "approve", {"before": before, "after": after})
	every roles in [["projectAdmin"], ["admin"]] {
		codes == {"rbac.breakglass_self"} with input as glass(roles, "approve", {"before": before, "after": object.union(after, {"self_decided": true})})
		codes == {"rbac.breakglass_self"} with input as glass(roles, "approve", {"before": before, "after": object.remove(after, ["self_decided"])})
	}
	allowed with input as glass(["projectAdmin"], "approve", {"before": before, "after": object.union(after, {"self_decided": true, "state": "rejected"})})
	elsewhere := {"projects": ["other"]}
	not allowed with input as glass(["projectAdmin"], "approve", {"before": object.union(before, elsewhere), "after": object.union(after, elsewhere)})
}

test_a_grant_is_its_subjects_to_see_and_to_end if {
	every verb in ["read", "end"] {
		allowed with input as glass([], verb, {"before": emergency({})})
		allowed with input as glass(["projectAdmin"], verb, {"before": emergency({"subject": "bob"})})
		not allowed with input as glass(["developer"], verb, {"before": emergency({"subject": "bob"})})
		not allowed with input as glass(["projectAdmin"], verb, {"before": emergency({"subject": "bob", "projects": ["other"]})})
		not allowed with input as glass([], verb, {"before": emergency({"kind": "robot"})})
		not allowed with input as glass([], verb, {})
	}
	allowed with input as glass([], "list", {"before": {"subject": "alice", "issuer": "local", "kind": "user"}})
	allowed with input as glass(["projectAdmin"], "list", {})
	not allowed with input as glass(["developer"], "list", {})
}

test_a_machine_breaks_no_glass if {
	every kind in ["robot", "workload", "system", ""] {
		machine := {"subject": object.union(fixtures.subject("alice", ["admin"]), {"kind": kind})}
		every verb in ["create", "request", "approve", "end"] {
			"rbac.breakglass_person" in codes with input as object.union(glass(["admin"], verb, {"before": emergency({}), "after": emergency({"self_decided": false})}), machine)
		}
	}
}

test_glass_is_not_broken_without_a_reason if {
	every empty in [{"justification": ""}, {"ticket": ""}, {"projects": []}, {"expires": ""}] {
		codes == {"rbac.breakglass_reason"} with input as glass(["admin"], "create", {"after": emergency(empty)})
	}
	codes == {"rbac.breakglass_reason"} with input as glass(["admin"], "create", {"after": object.remove(emergency({}), ["ticket"])})
}
