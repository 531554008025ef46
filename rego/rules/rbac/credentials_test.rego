package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

robot(project, rights) := {"project": project, "grants": [{"project": project, "repositories": null, "rights": rights}]}

test_a_project_administrator_makes_robots_of_the_project if {
	allowed with input as call(["projectAdmin"], "robot", "create", {"after": robot("payments", ["pull", "push"])})
	allowed with input as call(["projectAdmin"], "robot", "delete", {"before": robot("payments", ["pull"])})
	not allowed with input as call(["maintainer"], "robot", "create", {"after": robot("payments", ["pull"])})
	not allowed with input as call(["projectAdmin"], "robot", "create", {"after": robot("other", ["pull"])})
	not allowed with input as call(["projectAdmin"], "robot", "delete", {"before": robot("other", ["pull"])})
}

test_a_robot_has_nothing_that_its_maker_has_not if {
	not allowed with input as call(["projectAdmin"], "robot", "create", {"after": robot("payments", ["admin"])})
	not allowed with input as call(["projectAdmin"], "robot", "update", {
		"before": robot("payments", ["pull"]),
		"after": {"project": "payments", "grants": [{"project": "other", "repositories": null, "rights": ["pull"]}]},
	})
	allowed with input as call(["admin"], "robot", "create", {"after": robot("other", ["pull"])})
}

test_a_robot_that_manages_cannot_elevate_itself if {
	machine := object.union(fixtures.subject("robot$payments+ci", []), {
		"kind": "robot", "robot": {"name": "ci", "project": "payments", "creator": "alice"},
		"grants": [{"repositories": null, "role": null, "rights": ["pull", "manage"]}],
	})
	doc := object.union(call([], "robot", "update", {"before": robot("payments", ["pull"]), "after": robot("payments", ["pull", "push"])}), {"subject": machine})
	{"rbac.robot_permissions"} == {entry.code | some entry in rbac.deny} with input as doc
}

mine := {"owner": "alice", "issuer": "local"}

test_people_manage_their_own_access_tokens_only if {
	allowed with input as call([], "access_token", "create", {"after": mine})
	allowed with input as call([], "access_token", "delete", {"before": mine})
	not allowed with input as call([], "access_token", "create", {"after": {"owner": "bob", "issuer": "local"}})
	not allowed with input as call([], "access_token", "delete", {"before": {"owner": "alice", "issuer": "ldap"}})
}

test_an_access_token_makes_no_access_token if {
	doc := call(["admin"], "access_token", "create", {"after": mine})
	limited := object.union(doc, {"subject": object.union(fixtures.subject("alice", []), {"limits": [], "auth": "access_token"})})
	not allowed with input as limited
	unlimited := object.union(doc, {"subject": object.union(fixtures.subject("alice", []), {"auth": "access_token"})})
	not allowed with input as unlimited
	administrator := object.union(doc, {"subject": object.union(fixtures.subject("alice", ["admin"]), {"auth": "access_token"})})
	not allowed with input as administrator
	allowed with input as object.union(administrator, {"admin": object.union(doc.admin, {"verb": "list"})})
}

test_an_access_token_does_not_set_its_owners_password if {
	asked := call([], "user", "passwd", {"id": "alice"})
	with_token := {"subject": object.union(fixtures.subject("alice", []), {"auth": "access_token"})}
	allowed with input as asked
	not allowed with input as object.union(asked, with_token)
	administrator := {"subject": object.union(fixtures.subject("alice", ["admin"]), {"auth": "access_token"})}
	not allowed with input as object.union(asked, administrator)
	allowed with input as object.union(call(["admin"], "user", "passwd", {"id": "bob"}), administrator)
}

test_whoever_manages_members_hands_on_what_they_have if {
	keeper := {"subject": object.union(fixtures.subject("alice", []), {"grants": [{"repositories": null, "role": null, "rights": ["manage", "list"]}]})}
	member := {"project": "payments", "role": "guest"}
	allowed with input as call(["projectAdmin"], "member", "update", {"after": member})
	not allowed with input as object.union(call([], "member", "update", {"after": member}), keeper)
	not allowed with input as object.union(call([], "member", "delete", {"before": object.union(member, {"role": "projectAdmin"})}), keeper)
	made := {"project": "payments", "role": "lister", "rights": ["list"]}
	allowed with input as object.union(call([], "member", "update", {"before": made, "after": made}), keeper)
}

test_a_workspace_is_managed_from_the_default_one if {
	allowed with input as call(["admin"], "workspace", "create", {})
	not allowed with input as object.union(call(["admin"], "workspace", "create", {}), {"workspace": "acme"})
	not allowed with input as call(["projectAdmin"], "workspace", "create", {})
}

test_an_administrator_of_a_workspace_reads_that_one_alone if {
	asked := object.union(call(["admin"], "workspace", "read", {"id": "acme"}), {"workspace": "acme"})
	allowed with input as asked
	not allowed with input as object.union(asked, {"workspace": "umbrella"})
	allowed with input as object.union(asked, {"workspace": "default"})
}

test_everybody_may_ask_which_projects_there_are if {
	allowed with input as call([], "project", "list", {})
	not allowed with input as object.union(call([], "project", "list", {}), {"subject": fixtures.nobody})
}
