package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_a_key_that_nobody_reads_is_denied if {
	{entry.term | some entry in image.deny} == {"deny_rot"} with input as fixtures.image("manifest.pull", {}, {"deny_rot": true})
}

test_a_value_of_the_wrong_type_is_denied if {
	every config in [{"deny_root": "yes"}, {"max_age_days": "30"}, {"immutable_tags": "v*"}, {"allowed_tags": [1]}, {"max_age_days": 0}] {
		some entry in image.deny with input as fixtures.image("manifest.pull", {}, config)
		entry.code == "image.config"
	}
}
