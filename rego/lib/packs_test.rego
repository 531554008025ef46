package bondgate.lib.packs_test

import data.bondgate.lib.fixtures
import data.bondgate.lib.packs

test_the_configuration_is_found_by_name if {
	packs.config.image == {"deny_root": true} with input as fixtures.image("manifest.pull", {}, {"deny_root": true})
}

test_a_pack_that_is_not_there_has_none if {
	not packs.config.image with input as fixtures.input_for("tags.list", {})
}
