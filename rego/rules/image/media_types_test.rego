package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_media_types_on_the_list_are_allowed if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {}, {"allowed_media_types": ["application/vnd.oci.image.*"]})
}

test_each_other_media_type_is_denied if {
	{entry.term | some entry in image.deny} == {"application/x-layer"} with input as fixtures.image(
		"manifest.push",
		{"layers": [{"digest": "sha256:l1", "size": 1, "media_type": "application/x-layer"}]},
		{"allowed_media_types": ["application/vnd.oci.image.*"]},
	)
}

test_evidence_has_its_own_media_types if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {"role": "signature"}, {"allowed_media_types": ["none"]})
}
