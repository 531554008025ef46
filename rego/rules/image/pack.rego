# METADATA
# scope: package
# title: What an image may look like
# description: >-
#   Each rule is off until the project, or the operator's bundle, configures it.
#   The keys are deny_root, required_labels, max_age_days, allowed_bases,
#   allowed_media_types, allowed_tags and immutable_tags; all patterns are globs.
# custom:
#   class: content
#   mode: off
package bondgate.rules.image

import data.bondgate.lib.packs

config := packs.config.image
