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
