package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

root := {"config": {"user": ""}}

test_a_root_image_is_denied_at_a_pull_and_at_a_push if {
	every action in ["manifest.pull", "manifest.push"] {
		some entry in image.deny with input as fixtures.image(action, root, {"deny_root": true})
		entry.code == "image.root_user"
	}
}

test_a_root_image_may_be_deleted if {
	count(image.deny) == 0 with input as fixtures.image("manifest.delete", root, {"deny_root": true})
}

test_root_is_no_matter_until_it_is_configured if {
	count(image.deny) == 0 with input as fixtures.image("manifest.pull", root, {})
}

test_an_image_with_a_user_is_not_denied if {
	count(image.deny) == 0 with input as fixtures.image("manifest.pull", {}, {"deny_root": true})
}

test_an_image_without_configuration_is_denied_as_root if {
	count(image.deny) == 1 with input as fixtures.image("manifest.pull", {"config": null}, {"deny_root": true})
}
