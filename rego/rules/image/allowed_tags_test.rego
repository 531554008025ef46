package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_a_tag_of_the_form_is_allowed if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {}, {"allowed_tags": ["[0-9]*.[0-9]*.[0-9]*"]})
}

test_a_tag_of_another_form_is_denied if {
	{entry.term | some entry in image.deny} == {"1.4.2"} with input as fixtures.image("manifest.push", {}, {"allowed_tags": ["v*"]})
}

test_a_push_by_digest_has_no_tag if {
	doc := object.union(fixtures.image("manifest.push", {}, {"allowed_tags": ["v*"]}), {"reference": {"kind": "digest", "value": "sha256:aa"}})
	count(image.deny) == 0 with input as doc
}

test_a_pull_of_an_old_tag_goes_on if {
	count(image.deny) == 0 with input as fixtures.image("manifest.pull", {}, {"allowed_tags": ["v*"]})
}
