package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

test_a_project_is_visible_to_its_members_and_to_nobody_else if {
	rbac.visible with input as fixtures.input_for("tags.list", {"subject": fixtures.subject("g", ["limitedGuest"])})
	not rbac.visible with input as fixtures.input_for("tags.list", {"subject": fixtures.subject("x", [])})
}

test_a_public_project_is_visible_to_everybody if {
	rbac.visible with input as fixtures.input_for("tags.list", {"subject": fixtures.nobody, "project": {"public": true}})
}

test_what_has_no_project_is_visible if {
	rbac.visible with input as fixtures.input_for("registry.ping", {"subject": fixtures.nobody, "project": {"name": "", "exists": false}})
}

test_a_public_project_that_does_not_exist_is_not_visible if {
	not rbac.visible with input as fixtures.input_for("tags.list", {"subject": fixtures.nobody, "project": {"public": true, "exists": false}})
}

test_a_grant_for_a_part_shows_that_part if {
	some_part := object.union(fixtures.subject("g", []), {"grants": [{"repositories": "payments/a*", "role": "guest", "rights": []}]})
	rbac.visible with input as fixtures.input_for("tags.list", {"subject": some_part})
	not rbac.visible with input as fixtures.input_for("tags.list", {"subject": some_part, "repository": {"name": "payments/web"}})
	not rbac.visible with input as fixtures.input_for("tags.list", {"subject": object.union(some_part, {"limits": []})})
}
