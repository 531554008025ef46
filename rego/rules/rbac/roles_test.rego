package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

test_a_role_that_nobody_knows_gives_nothing if {
	not rbac.has("pull") with input as fixtures.input_for("manifest.pull", {"subject": fixtures.subject("alice", ["owner"])})
}

test_who_is_disabled_has_no_right if {
	not rbac.has("pull") with input as fixtures.input_for("manifest.pull", {"subject": {"disabled": true}})
}

test_the_administrator_has_every_right if {
	every right in ["pull", "list", "push", "delete", "manage", "admin"] {
		rbac.has(right) with input as fixtures.input_for("manifest.pull", {"subject": fixtures.subject("root", ["admin"])})
	}
}

granted_subject(grants, limits) := object.union(fixtures.subject("alice", []), {"grants": grants, "limits": limits})

part(pattern, role, given) := {"repositories": pattern, "role": role, "rights": given}

test_a_grant_reaches_the_repositories_of_its_pattern if {
	doc := fixtures.input_for("manifest.push", {"subject": granted_subject([part("payments/a*", "developer", [])], null)})
	rbac.has("push") with input as doc
	not rbac.has("delete") with input as doc
	not rbac.has("push") with input as object.union(doc, {"repository": {"name": "payments/web"}})
	not rbac.has("push") with input as object.union(doc, {"repository": {"name": "payments/a/b"}})
}

test_a_grant_of_a_part_gives_nothing_of_the_project_itself if {
	doc := fixtures.input_for("manifest.push", {"subject": granted_subject([part("**", "projectAdmin", ["manage"])], null)})
	rbac.has("delete") with input as doc
	not rbac.has("manage") with input as doc
	not rbac.has("members") with input as doc
}

test_a_role_that_somebody_made_gives_the_rights_that_it_names if {
	doc := fixtures.input_for("manifest.push", {"subject": granted_subject([part(null, "releaser", ["pull", "push"])], null)})
	rbac.has("push") with input as doc
	not rbac.has("delete") with input as doc
}

test_limits_take_away_and_never_give if {
	limited := object.union(fixtures.subject("alice", ["maintainer"]), {"limits": [part("payments/api", null, ["pull", "push"])]})
	doc := fixtures.input_for("manifest.push", {"subject": limited})
	rbac.has("push") with input as doc
	not rbac.has("delete") with input as doc
	not rbac.has("pull") with input as object.union(doc, {"repository": {"name": "payments/web"}})
	not rbac.has("push") with input as object.union(doc, {"subject": {"roles": []}})
	not rbac.has("pull") with input as object.union(doc, {"subject": {"limits": []}})
}
