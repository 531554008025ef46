package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

asked(actions, roles, public) := fixtures.input_for("token.issue", {"purpose": "token", "token": {"requested": [{
	"type": "repository", "name": "payments/api", "actions": actions, "roles": roles, "grants": [], "limits": null,
	"project": {"name": "payments", "exists": true, "public": public},
}]}})

test_a_token_carries_what_the_role_gives if {
	rbac.granted[0].actions == ["pull"] with input as asked(["pull", "push", "delete"], ["guest"], false)
	rbac.granted[0].actions == ["pull", "push"] with input as asked(["pull", "push", "delete"], ["developer"], false)
}

test_a_token_without_a_right_is_empty if {
	rbac.granted == [] with input as asked(["pull"], [], false)
}

test_everything_is_carried_by_who_may_delete_only if {
	rbac.granted == [] with input as asked(["*"], ["developer"], false)
	rbac.granted[0].actions == ["*"] with input as asked(["*"], ["maintainer"], false)
}

test_an_anonymous_token_is_for_public_projects if {
	doc := object.union(asked(["pull", "push"], [], true), {"subject": fixtures.nobody})
	rbac.granted[0].actions == ["pull"] with input as doc
	count(rbac.deny) == 0 with input as doc
}

test_an_anonymous_token_for_nothing_is_refused if {
	doc := object.union(asked(["pull"], [], false), {"subject": fixtures.nobody})
	{entry.code | some entry in rbac.deny} == {"rbac.anonymous"} with input as doc
}

test_a_token_carries_what_grants_give_on_the_name_and_limits_leave if {
	base := asked(["pull", "push", "delete"], [], false)
	with_grant := json.patch(base, [{"op": "replace", "path": "/token/requested/0/grants", "value": [{"repositories": "payments/*", "role": "developer", "rights": []}]}])
	rbac.granted[0].actions == ["pull", "push"] with input as with_grant
	limited := json.patch(with_grant, [{"op": "replace", "path": "/token/requested/0/limits", "value": [{"repositories": "payments/api", "role": null, "rights": ["pull"]}]}])
	rbac.granted[0].actions == ["pull"] with input as limited
	elsewhere := json.patch(with_grant, [{"op": "replace", "path": "/token/requested/0/limits", "value": []}])
	rbac.granted == [] with input as elsewhere
}
