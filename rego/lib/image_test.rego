package bondgate.lib.image_test

import data.bondgate.lib.fixtures
import data.bondgate.lib.image

test_these_users_are_root if {
	every user in ["", "0", "root", "0:0", "root:staff", "00", "+0", "-0:1", "ROOT", ":1"] {
		image.runs_as_root with input as fixtures.image("manifest.pull", {"config": {"user": user}}, {})
	}
}

test_these_users_are_not_root if {
	every user in ["1000", "app", "10:0", "nobody:root", "rooty"] {
		not image.runs_as_root with input as fixtures.image("manifest.pull", {"config": {"user": user}}, {})
	}
}

test_no_configuration_is_root if {
	image.runs_as_root with input as fixtures.image("manifest.pull", {"config": null}, {})
}

test_a_user_that_is_null_is_root if {
	image.runs_as_root with input as fixtures.image("manifest.pull", {"config": {"user": null}}, {})
}

test_an_index_is_not_runnable if {
	not image.runnable with input as fixtures.image("manifest.pull", {"kind": "index"}, {})
}

test_evidence_is_not_runnable if {
	not image.runnable with input as fixtures.image("manifest.pull", {"role": "signature"}, {})
}
