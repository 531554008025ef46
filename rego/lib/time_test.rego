package bondgate.lib.time_test

import data.bondgate.lib.fixtures
import data.bondgate.lib.time as clock

test_age_is_counted_from_the_time_of_the_decision if {
	clock.age_days("2026-09-11T14:13:20Z") == 10 with input as fixtures.input_for("tags.list", {})
}

test_the_future_is_negative if {
	clock.age_days("2026-10-01T14:13:20Z") == -10 with input as fixtures.input_for("tags.list", {})
}

test_no_date_has_no_age if {
	not clock.age_days(null) with input as fixtures.input_for("tags.list", {})
}
