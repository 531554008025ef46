package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_a_base_on_the_list_is_allowed if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {}, {"allowed_bases": ["docker.io/library/debian:*"]})
}

test_another_base_is_denied if {
	{entry.term | some entry in image.deny} == {"docker.io/library/debian:12"} with input as fixtures.image("manifest.push", {}, {"allowed_bases": ["docker.io/library/alpine:*"]})
}

test_no_base_is_denied if {
	count(image.deny) == 1 with input as fixtures.image("manifest.push", {"base": {"status": "absent", "name": null}}, {"allowed_bases": ["*"]})
}
