package bondgate.rules.image

import data.bondgate.lib.image
import data.bondgate.lib.text

# METADATA
# title: The tag is not of an allowed form
# description: Tags that follow a pattern can be sorted, kept and cleaned by it. Tags of evidence are not asked.
# custom:
#   code: image.tag_pattern
#   severity: low
#   remediation: Push the image under a tag of an allowed form.
#   waivable: true
deny contains {"code": "image.tag_pattern", "term": tag, "msg": msg} if {
	input.action == "manifest.push"
	config.allowed_tags
	input.reference.kind == "tag"
	not image.accessory
	tag := input.reference.value
	not text.matches_any(config.allowed_tags, tag)
	msg := sprintf("the tag %q is not of an allowed form", [tag])
}
