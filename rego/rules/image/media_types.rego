package bondgate.rules.image

import data.bondgate.lib.image
import data.bondgate.lib.text

# METADATA
# title: A media type is not allowed
# description: >-
#   Manifest, configuration and layers must each be of an allowed media type.
#   Evidence about an image (signatures, SBOMs) is not asked.
# custom:
#   code: image.media_type
#   severity: medium
#   remediation: Push content of an allowed media type.
#   waivable: true
deny contains {"code": "image.media_type", "term": found, "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push"}
	config.allowed_media_types
	not image.accessory
	some found in media_types
	not text.matches_any(config.allowed_media_types, found)
	msg := sprintf("the media type %q is not allowed", [found])
}

media_types contains input.artifact.media_type

media_types contains layer.media_type if some layer in input.artifact.layers

media_types contains input.artifact.config_media_type if is_string(input.artifact.config_media_type)
