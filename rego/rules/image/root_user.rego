package bondgate.rules.image

import data.bondgate.lib.image

# METADATA
# title: The image runs as root
# description: >-
#   A process that breaks out of a container that runs as root is root on the
#   machine. An image that names no user runs as root.
# custom:
#   code: image.root_user
#   severity: high
#   remediation: Set USER to an account without privileges in the Dockerfile and push the image again.
#   waivable: true
deny contains {"code": "image.root_user", "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push"}
	config.deny_root == true
	image.runnable
	image.runs_as_root
	msg := sprintf("the image runs as root (user %q)", [image.user_shown])
}
