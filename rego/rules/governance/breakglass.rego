package bondgate.rules.governance

# What each key about emergencies is: how many minutes a grant lasts at most, whether
# another person has to approve it, and a glob that its ticket has to match.
glass_shape := {
	"breakglass_max_minutes": "number",
	"breakglass_second_person": "boolean",
	"breakglass_ticket_pattern": "string",
}

# METADATA
# title: The grant lasts too long
# description: An emergency that lasts is a rule that is wrong. The minutes are counted from the call.
# custom:
#   code: governance.breakglass_too_long
#   severity: high
#   remediation: Choose an earlier end.
#   waivable: false
deny contains {"code": "governance.breakglass_too_long", "term": input.admin.id, "msg": msg} if {
	input.action == "admin.api"
	glass_judged
	config.breakglass_max_minutes
	not glass_short_enough
	msg := sprintf("the grant ends at %v, and %v minutes from now is the latest", [input.admin.after.expires, config.breakglass_max_minutes])
}

# What no one can read is too long.
glass_short_enough if {
	is_number(config.breakglass_max_minutes)
	regex.match(`^20[0-9][0-9]-`, input.admin.after.expires)
	time.parse_rfc3339_ns(input.admin.after.expires) <= input.time.ns + (config.breakglass_max_minutes * 60000000000)
}

# METADATA
# title: Glass is broken without a second person
# description: Two people look at an emergency, an administrator's own among them.
# custom:
#   code: governance.breakglass_second_person
#   severity: high
#   remediation: Ask for the grant (bondgate breakglass open --request) and have another person approve it.
#   waivable: false
deny contains {"code": "governance.breakglass_second_person", "term": input.admin.id, "msg": msg} if {
	input.action == "admin.api"
	glass_judged
	input.admin.verb == "create"
	config.breakglass_second_person
	msg := sprintf("in %s a grant wants a second person", [input.project.name])
}

# METADATA
# title: The grant's ticket is none of the tracker's
# description: Whoever works on the emergency has to find it.
# custom:
#   code: governance.breakglass_ticket
#   severity: medium
#   remediation: Name the ticket (--ticket).
#   waivable: false
deny contains {"code": "governance.breakglass_ticket", "term": input.admin.id, "msg": msg} if {
	input.action == "admin.api"
	glass_judged
	config.breakglass_ticket_pattern
	not glob.match(config.breakglass_ticket_pattern, null, input.admin.after.ticket)
	msg := sprintf("the grant's ticket is not one like %v", [config.breakglass_ticket_pattern])
}

deny contains {"code": "governance.config", "term": key, "msg": msg} if {
	input.action == "admin.api"
	glass_judged
	some key, value in config
	startswith(key, "breakglass")
	not type_name(value) == glass_shape[key]
	msg := sprintf("the pack governance is configured with %s, which is no key of it or not of its type (%s)", [key, object.get(glass_shape, key, "none")])
}

# What is judged: a grant that somebody opens, asks for or approves.
glass_judged if {
	input.admin.resource == "breakglass"
	is_object(input.admin.after)
	not input.admin.after.state == "rejected"
}
