package bondgate.rules.image

import data.bondgate.lib.image
import data.bondgate.lib.text

# METADATA
# title: The image is built on a base that is not allowed
# description: >-
#   The base is what the image says of itself (org.opencontainers.image.base.name).
#   An image that says nothing has no allowed base.
# custom:
#   code: image.allowed_base
#   severity: medium
#   remediation: Build the image on an allowed base, and have the builder write org.opencontainers.image.base.name.
#   waivable: true
#   needs: [base]
deny contains {"code": "image.allowed_base", "term": name, "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push"}
	config.allowed_bases
	image.runnable
	not on_allowed_base
	name := base_name
	msg := sprintf("the base %q of the image is not allowed", [name])
}

on_allowed_base if text.matches_any(config.allowed_bases, input.artifact.base.name)

default base_name := ""

base_name := input.artifact.base.name if is_string(input.artifact.base.name)
