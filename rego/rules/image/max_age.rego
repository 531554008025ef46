package bondgate.rules.image

import data.bondgate.lib.image
import data.bondgate.lib.time as clock

# METADATA
# title: The image is too old
# description: >-
#   An old image carries old packages. The age is counted from the date in the
#   image's configuration; no date, and one in the future, count as too old.
# custom:
#   code: image.max_age
#   severity: medium
#   remediation: Build the image again and push it.
#   waivable: true
deny contains {"code": "image.max_age", "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push"}
	config.max_age_days
	image.runnable
	not young
	msg := sprintf("the image was created %s, and %v days is the most", [created_shown, config.max_age_days])
}

# A day is left for clocks that differ.
young if {
	days := clock.age_days(input.artifact.config.created)
	days >= -1
	days <= config.max_age_days
}

default created_shown := "at no known time"

created_shown := concat(" ", ["at", input.artifact.config.created])
