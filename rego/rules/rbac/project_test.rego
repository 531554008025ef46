package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

test_an_administrator_does_not_push_where_no_project_is if {
	some action in ["manifest.push", "blob.push", "blob.mount"]
	{"rbac.no_project"} == {entry.code | some entry in rbac.deny} with input as fixtures.input_for(action, {
		"subject": fixtures.subject("root", ["admin"]), "project": {"exists": false},
		"mount": {"subject_can_pull_from": true},
	})
}

test_who_has_no_right_is_told_that_and_nothing_of_the_project if {
	{"rbac.right"} == {entry.code | some entry in rbac.deny} with input as fixtures.input_for("manifest.push", {
		"subject": fixtures.subject("bob", []), "project": {"exists": false},
	})
}

test_an_administrator_looks_for_a_blob_where_no_project_is if {
	count(rbac.deny) == 0 with input as fixtures.input_for("blob.pull", {
		"subject": fixtures.subject("root", ["admin"]), "project": {"exists": false},
		"blob": {"digest": "sha256:aa", "size": 1, "manifest": null},
	})
}
