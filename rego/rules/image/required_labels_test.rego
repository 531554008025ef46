package bondgate.rules.image_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.image

test_a_missing_label_is_denied_by_its_name if {
	{entry.term | some entry in image.deny} == {"source"} with input as fixtures.image("manifest.push", {}, {"required_labels": ["team", "source"]})
}

test_an_empty_label_is_missing if {
	count(image.deny) == 1 with input as fixtures.image("manifest.push", {"config": {"labels": {"team": " "}}}, {"required_labels": ["team"]})
}

test_an_image_without_configuration_has_no_label if {
	count(image.deny) == 1 with input as fixtures.image("manifest.push", {"config": null}, {"required_labels": ["team"]})
}

test_evidence_needs_no_label if {
	count(image.deny) == 0 with input as fixtures.image("manifest.push", {"role": "sbom", "config": null}, {"required_labels": ["team"]})
}
