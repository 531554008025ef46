package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_an_immutable_tag_takes_no_other_digest if {
	{entry.code | some entry in image.deny} == {"image.immutable_tag"} with input as fixtures.image("manifest.push", {"digest": "sha256:bb"}, {"immutable_tags": ["1.*"]})
}

test_the_same_digest_may_be_pushed_again if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {}, {"immutable_tags": ["1.*"]})
}

test_a_new_tag_may_be_pushed if {
	doc := object.union(
		fixtures.image("manifest.push", {"digest": "sha256:bb"}, {"immutable_tags": ["1.*"]}),
		{"reference": {"exists": false, "current_digest": null}},
	)
	count(image.deny) == 0 with input as doc
}

test_a_tag_that_matches_no_pattern_may_move if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {"digest": "sha256:bb"}, {"immutable_tags": ["v*"]})
}

test_an_immutable_tag_is_not_deleted if {
	count(image.deny) == 1 with input as fixtures.image("tag.delete", {}, {"immutable_tags": ["1.*"]})
}

test_a_manifest_under_an_immutable_tag_is_not_deleted if {
	count(image.deny) == 1 with input as fixtures.image("manifest.delete", {}, {"immutable_tags": ["stable"]})
}
