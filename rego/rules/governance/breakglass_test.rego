package bondgate.rules.governance_test

import data.bondgate.lib.fixtures

# What the pack says of a grant until 15:00, at 14:13:20, under a configuration.
glass_codes(verb, config, more) := {entry.code | some entry in denied} if {
	denied := data.bondgate.rules.governance.deny with input as fixtures.input_for("admin.api", {
		"project": {"name": "payments", "packs": [{"name": "governance", "mode": "deny", "config": config}]},
		"admin": {"resource": "breakglass", "verb": verb, "id": "bg-1", "before": null, "auto": null, "after": object.union(
			{"state": "approved", "ticket": "INC-1", "expires": "2026-09-21T15:00:00Z"},
			more,
		)},
	})
}

test_without_a_configuration_nothing_is_asked_of_a_grant if glass_codes("create", {}, {}) == set()

test_a_grant_ends_within_the_minutes if {
	glass_codes("create", {"breakglass_max_minutes": 60}, {}) == set()
	glass_codes("create", {"breakglass_max_minutes": 30}, {}) == {"governance.breakglass_too_long"}
	glass_codes("approve", {"breakglass_max_minutes": 30}, {}) == {"governance.breakglass_too_long"}
	glass_codes("request", {"breakglass_max_minutes": 30}, {"expires": "never"}) == {"governance.breakglass_too_long"}
	glass_codes("approve", {"breakglass_max_minutes": 30}, {"state": "rejected"}) == set()
}

test_a_project_asks_for_a_second_person if {
	glass_codes("create", {"breakglass_second_person": true}, {}) == {"governance.breakglass_second_person"}
	glass_codes("create", {"breakglass_second_person": false}, {}) == set()
	glass_codes("request", {"breakglass_second_person": true}, {"state": "pending"}) == set()
	glass_codes("approve", {"breakglass_second_person": true}, {}) == set()
}

test_a_ticket_is_one_of_the_tracker if {
	glass_codes("create", {"breakglass_ticket_pattern": "INC-*"}, {}) == set()
	glass_codes("create", {"breakglass_ticket_pattern": "SEC-*"}, {}) == {"governance.breakglass_ticket"}
	glass_codes("create", {"breakglass_ticket_pattern": "SEC-*"}, {"ticket": null}) == {"governance.breakglass_ticket"}
}

test_a_misspelt_limit_denies if {
	glass_codes("create", {"breakglass_max_minute": 60}, {}) == {"governance.config"}
	"governance.config" in glass_codes("create", {"breakglass_max_minutes": "60"}, {})
}
