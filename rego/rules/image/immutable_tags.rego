package bondgate.rules.image

import data.bondgate.lib.text

# METADATA
# title: The tag may not change
# description: >-
#   What was tested under a tag is what runs under it. Taking the tag away, or the
#   manifest under it, would be the way around. An emergency does not move it: what it
#   moved would stay there for everybody when the emergency is over.
# custom:
#   code: image.immutable_tag
#   severity: high
#   remediation: Push under a new tag.
#   waivable: true
#   breakglass: false
deny contains {"code": "image.immutable_tag", "term": tag, "msg": msg} if {
	input.action == "manifest.push"
	input.reference.kind == "tag"
	input.reference.exists == true
	tag := input.reference.value
	text.matches_any(config.immutable_tags, tag)
	not input.reference.current_digest == input.artifact.digest
	msg := sprintf("the tag %q is immutable and names %v", [tag, input.reference.current_digest])
}

deny contains {"code": "image.immutable_tag", "term": tag, "msg": msg} if {
	input.action == "tag.delete"
	tag := input.reference.value
	text.matches_any(config.immutable_tags, tag)
	msg := sprintf("the tag %q is immutable", [tag])
}

deny contains {"code": "image.immutable_tag", "term": tag, "msg": msg} if {
	input.action == "manifest.delete"
	some tag in input.artifact.tags
	text.matches_any(config.immutable_tags, tag)
	msg := sprintf("the manifest has the tag %q, which is immutable", [tag])
}
