package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_an_image_of_twenty_days_is_young_at_thirty if {
	count(image.deny) == 0 with input as fixtures.image("manifest.pull", {}, {"max_age_days": 30})
}

test_an_image_of_twenty_days_is_old_at_ten if {
	{entry.code | some entry in image.deny} == {"image.max_age"} with input as fixtures.image("manifest.pull", {}, {"max_age_days": 10})
}

test_no_date_is_too_old if {
	count(image.deny) == 1 with input as fixtures.image("manifest.pull", {"config": {"created": null}}, {"max_age_days": 10})
}

test_the_future_is_too_old if {
	count(image.deny) == 1 with input as fixtures.image("manifest.pull", {"config": {"created": "2027-01-01T00:00:00Z"}}, {"max_age_days": 10})
}

test_no_configuration_is_too_old if {
	count(image.deny) == 1 with input as fixtures.image("manifest.pull", {"config": null}, {"max_age_days": 10})
}
