package bondgate.rules.rbac_test

import data.bondgate.lib.fixtures
import data.bondgate.rules.rbac

blob(manifest) := {"blob": {"digest": "sha256:l1", "size": 1, "manifest": manifest}}

codes := {entry.code | some entry in rbac.deny}

test_a_guest_reads_a_blob_of_an_image if {
	codes == set() with input as object.union(fixtures.input_for("blob.pull", blob("sha256:aa")), {"subject": fixtures.subject("g", ["guest"])})
}

test_a_guest_does_not_read_a_blob_that_no_image_names if {
	codes == {"rbac.right"} with input as object.union(fixtures.input_for("blob.pull", blob(null)), {"subject": fixtures.subject("g", ["guest"])})
}

test_an_action_that_nobody_named_is_refused if {
	codes == {"rbac.right"} with input as fixtures.input_for("registry.format", {})
}

test_an_input_without_a_subject_is_refused if {
	count(codes) > 0 with input as object.remove(fixtures.input_for("registry.ping", {}), ["subject"])
}

test_anonymous_is_asked_to_sign_in if {
	codes == {"rbac.anonymous"} with input as fixtures.input_for("registry.ping", {"subject": fixtures.nobody})
}

test_anonymous_pulls_from_a_public_project_and_lists_nothing if {
	public := {"subject": fixtures.nobody, "project": {"public": true}}
	codes == set() with input as fixtures.input_for("manifest.pull", public)
	codes == {"rbac.anonymous"} with input as fixtures.input_for("tags.list", public)
}

test_a_disabled_account_is_refused_in_a_public_project_too if {
	doc := fixtures.input_for("manifest.pull", {"subject": {"disabled": true}, "project": {"public": true}})
	codes == {"rbac.disabled"} with input as doc
}

test_a_mount_needs_the_right_to_pull_at_its_source if {
	doc := fixtures.input_for("blob.mount", {"mount": {"subject_can_pull_from": false}})
	codes == {"rbac.mount_source"} with input as doc
	codes == set() with input as object.union(doc, {"mount": {"subject_can_pull_from": true}})
}
