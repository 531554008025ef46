package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

test_an_administrator_does_not_push_where_no_project_is if {
	every action in ["manifest.push", "blob.push", "blob.mount"] {
		{"rbac.no_project"} == {entry.code | some entry in rbac.deny} with input as fixtures.input_for(action, {
			"subject": fixtures.subject("root", ["admin"]), "project": {"exists": false},
			"mount": {"subject_can_pull_from": true},
		})
	}
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

test_a_token_reaches_where_a_push_makes_the_project if {
	asked_of_nothing := {"type": "repository", "name": "new/app", "actions": ["pull", "push", "delete"], "roles": [], "grants": [], "limits": null, "project": {"name": "new", "exists": false, "public": false}}
	doc := fixtures.input_for("token.issue", {"purpose": "token", "token": {"requested": [asked_of_nothing], "auto": "writers"}})
	rbac.granted[0].actions == ["pull", "push"] with input as doc
	rbac.granted == [] with input as json.patch(doc, [{"op": "replace", "path": "/token/auto", "value": "admins"}])
	rbac.granted == [] with input as object.union(doc, {"subject": fixtures.nobody})
}
