package bondgate.rules.image

# METADATA
# title: The configuration of the image pack is not understood
# description: A key that nobody reads, or a value of the wrong type, would be a rule that never fires.
# custom:
#   code: image.config
#   severity: critical
#   remediation: Have the configuration of the image pack repaired.
#   waivable: false
deny contains {"code": "image.config", "term": key, "msg": msg} if {
	input.action in {"manifest.pull", "manifest.push", "manifest.delete", "tag.delete"}
	some key, value in config
	not understood(key, value)
	msg := sprintf("the configuration %q of the image pack is not understood", [key])
}

understood("deny_root", value) if is_boolean(value)

understood("max_age_days", value) if {
	is_number(value)
	value > 0
}

understood(key, value) if {
	key in {"required_labels", "allowed_bases", "allowed_media_types", "allowed_tags", "immutable_tags"}
	is_array(value)
	every item in value {
		is_string(item)
		item != ""
	}
}
