package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures

call(roles, resource, verb, more) := fixtures.input_for("admin.api", {
	"subject": fixtures.subject("alice", roles),
	"admin": object.union({"resource": resource, "verb": verb, "id": "x", "before": null, "after": null, "auto": null}, more),
})

allowed if count(data.bondgate.rules.rbac.deny) == 0

test_only_an_administrator_makes_users if {
	allowed with input as call(["admin"], "user", "create", {})
	not allowed with input as call(["projectAdmin"], "user", "create", {})
}

test_a_project_administrator_gives_roles_of_the_project_only if {
	allowed with input as call(["projectAdmin"], "member", "set", {"after": {"project": "payments", "role": "developer"}})
	not allowed with input as call(["projectAdmin"], "member", "set", {"after": {"project": "payments", "role": "admin"}})
	not allowed with input as call(["projectAdmin"], "member", "set", {"after": {"project": "other", "role": "guest"}})
	not allowed with input as call(["maintainer"], "member", "set", {"after": {"project": "payments", "role": "guest"}})
}

test_guests_see_the_members_and_limited_guests_do_not if {
	allowed with input as call(["guest"], "member", "list", {})
	not allowed with input as call(["guest"], "member", "update", {})
	not allowed with input as call(["limitedGuest"], "member", "list", {})
	not allowed with input as call([], "member", "list", {})
}

test_a_project_administrator_waives_in_the_project_only if {
	allowed with input as call(["projectAdmin"], "waiver", "create", {"after": {"projects": ["payments"]}})
	allowed with input as call(["projectAdmin"], "waiver", "create", {"after": {"scope": {"projects": ["payments"], "repositories": ["payments/*"]}}})
	not allowed with input as call(["projectAdmin"], "waiver", "create", {"after": {"projects": []}})
	not allowed with input as call(["projectAdmin"], "waiver", "create", {"after": {"projects": ["payments", "other"]}})
	not allowed with input as call(["projectAdmin"], "waiver", "create", {"after": {"projects": ["payments"], "repositories": ["other/*"]}})
	not allowed with input as call(["projectAdmin"], "waiver", "delete", {"before": {"projects": ["other"]}})
}

test_a_project_administrator_sees_what_other_policy_would_decide_in_the_project if {
	allowed with input as call(["projectAdmin"], "policy", "shadow", {})
	allowed with input as call(["projectAdmin"], "policy", "audit", {})
	not allowed with input as call(["projectAdmin"], "policy", "reset", {})
	not allowed with input as call(["developer"], "policy", "shadow", {})
	not allowed with input as call(["developer"], "policy", "audit", {})
	allowed with input as call(["admin"], "policy", "reset", {})
}

test_a_project_administrator_asks_what_would_be_decided_about_members if {
	allowed with input as call(["projectAdmin"], "policy", "explain", {"after": {"user": "bob", "member": true}})
	not allowed with input as call(["projectAdmin"], "policy", "explain", {"after": {"user": "bob", "member": false}})
	not allowed with input as call(["projectAdmin"], "policy", "explain", {})
	not allowed with input as call(["maintainer"], "policy", "explain", {"after": {"user": "bob", "member": true}})
	allowed with input as call(["admin"], "policy", "explain", {"after": {"user": "bob", "member": false}})
}

test_whose_push_makes_a_project_is_a_setting if {
	allowed with input as call(["admin"], "project", "create", {"auto": "admins"})
	allowed with input as call([], "project", "create", {"auto": "writers"})
	not allowed with input as call([], "project", "create", {"auto": "admins"})
	not allowed with input as call([], "project", "create", {})
	not allowed with input as call(["admin"], "project", "create", {"auto": "off"})
}

test_people_change_their_own_password if {
	allowed with input as call([], "user", "passwd", {"id": "alice"})
	not allowed with input as call([], "user", "passwd", {"id": "bob"})
}

read(roles, who) := fixtures.input_for("decision.read", {
	"subject": fixtures.subject("alice", roles),
	"admin": {"before": {"subject": who, "issuer": "local"}},
})

# An export and a verification name nobody whose own they would be.
read_all(roles, verb) := fixtures.input_for("decision.read", {
	"subject": fixtures.subject("alice", roles),
	"admin": {"resource": "decision", "verb": verb, "before": {"project": "payments"}},
})

test_whoever_manages_a_project_exports_its_decisions if {
	allowed with input as read_all(["projectAdmin"], "export")
	allowed with input as read_all(["admin"], "export")
	not allowed with input as read_all(["maintainer"], "export")
	not allowed with input as read_all([], "export")
}

test_the_administrator_alone_verifies if {
	nowhere := json.patch(read_all(["admin"], "verify"), [{"op": "replace", "path": "/project/exists", "value": false}])
	allowed with input as nowhere
	not allowed with input as json.patch(nowhere, [{"op": "replace", "path": "/subject/roles", "value": ["projectAdmin"]}])
}

test_people_read_decisions_about_themselves if {
	allowed with input as read([], "alice")
	not allowed with input as read(["developer"], "bob")
}

read_within(limits) := json.patch(read([], "alice"), [{"op": "replace", "path": "/subject/limits", "value": limits}])

test_a_credential_with_limits_reads_within_them if {
	allowed with input as read_within([{"repositories": null, "role": "developer", "rights": []}])
	not allowed with input as read_within([])
}

test_administrators_read_decisions_about_others if {
	allowed with input as read(["admin"], "bob")
	allowed with input as read(["projectAdmin"], "bob")
}

test_a_role_that_somebody_made_is_handed_on_by_who_has_its_rights if {
	made := {"project": "payments", "role": "releaser", "rights": ["pull", "push"]}
	allowed with input as call(["projectAdmin"], "member", "set", {"after": made})
	not allowed with input as call(["projectAdmin"], "member", "set", {"after": object.union(made, {"rights": ["pull", "admin"]})})
	not allowed with input as call(["projectAdmin"], "member", "set", {"after": object.union(made, {"rights": []})})
}
