package bondgate.rules.image

import data.bondgate.lib.image

# METADATA
# title: A required label is missing
# description: Labels tell where an image comes from and who answers for it. A label that is empty is missing.
# custom:
#   code: image.required_label
#   severity: medium
#   remediation: Set the label in the Dockerfile and push the image again.
#   waivable: true
deny contains {"code": "image.required_label", "term": name, "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push"}
	some name in config.required_labels
	image.runnable
	not labelled(name)
	msg := sprintf("the image has no label %s", [name])
}

labelled(name) if trim_space(image.label(name)) != ""
