package bondgate.rules.governance

# METADATA
# title: The waiver lasts too long
# description: >-
#   An exception that never ends is a rule that nobody repealed. The days are counted
#   from the call that asks for the waiver, makes, approves or prolongs it.
# custom:
#   code: governance.waiver_too_long
#   severity: high
#   remediation: Choose an earlier end; ask again when it is near.
#   waivable: false
deny contains {"code": "governance.waiver_too_long", "term": waiver_id, "msg": msg} if {
	input.action == "admin.api"
	waiver_judged
	config.max_days
	not short_enough
	msg := sprintf("the waiver ends on %v, and %v days from now is the latest", [waiver_end, config.max_days])
}

# METADATA
# title: The waiver is approved by whoever asked for it
# description: >-
#   Two people look at an exception: one who needs it and one who does not. People
#   who are linked are one person, and a machine is none.
# custom:
#   code: governance.second_person
#   severity: high
#   remediation: Ask for the waiver (bondgate waiver request) and have another person approve it.
#   waivable: false
deny contains {"code": "governance.second_person", "term": waiver_id, "msg": msg} if {
	input.action == "admin.api"
	waiver_comes_into_force
	config.second_person
	some why in one_person
	msg := sprintf("the waiver wants a second person: %s", [why])
}

one_person contains sprintf("%s asked for it and cannot approve it", [input.subject.name]) if {
	not input.admin.after.self_decided == false
}

one_person contains sprintf("%s answers for it as its owner and cannot approve it", [input.subject.name]) if {
	lower(input.admin.after.owner) in {lower(input.subject.id), lower(input.subject.name)}
}

one_person contains sprintf("%s is no person", [input.subject.name]) if {
	not input.subject.kind in {"user", "operator"}
}

# METADATA
# title: The rule is never waived
# description: >-
#   never_waive lists what no exception is made for: rules, and terms of rules. A
#   waiver that names no terms lifts all of them, the listed ones too.
# custom:
#   code: governance.never_waived
#   severity: critical
#   remediation: Repair what the rule found, or name the terms that the waiver is for without those on the list.
#   waivable: false
deny contains {"code": "governance.never_waived", "term": waiver_id, "msg": msg} if {
	input.action == "admin.api"
	waiver_judged
	some listed in config.never_waive
	some what in forbidden_by(listed)
	msg := sprintf("no waiver may lift %s", [what])
}

# METADATA
# title: The waiver names no ticket
# description: What is an exception today is work for somebody, who has to find it.
# custom:
#   code: governance.ticket
#   severity: medium
#   remediation: Name the ticket (--ticket).
#   waivable: false
deny contains {"code": "governance.ticket", "term": waiver_id, "msg": "the waiver names no ticket"} if {
	input.action == "admin.api"
	waiver_judged
	config.ticket_required
	not filled("ticket")
}

deny contains {"code": "governance.ticket", "term": waiver_id, "msg": msg} if {
	input.action == "admin.api"
	waiver_judged
	config.ticket_pattern
	not glob.match(config.ticket_pattern, null, object.get(input.admin.after, "ticket", ""))
	msg := sprintf("the waiver's ticket is not one like %v", [config.ticket_pattern])
}

# METADATA
# title: The waiver gives no reason
# description: Whoever approves it, and whoever reads it later, has to know why.
# custom:
#   code: governance.reason
#   severity: medium
#   remediation: Say why (--reason).
#   waivable: false
deny contains {"code": "governance.reason", "term": waiver_id, "msg": "the waiver gives no reason"} if {
	input.action == "admin.api"
	waiver_judged
	config.reason_required
	not filled("reason")
}

# METADATA
# title: The waiver is for everything
# description: An exception for all projects and all images is a change of the rule, and belongs into the bundle.
# custom:
#   code: governance.scope
#   severity: high
#   remediation: Name the project, the repository or the digest that it is for.
#   waivable: false
deny contains {"code": "governance.scope", "term": waiver_id, "msg": "the waiver names no project, repository or digest"} if {
	input.action == "admin.api"
	waiver_judged
	config.scope_required
	count([x | some x in ["projects", "repositories", "digests"]; count(input.admin.after.scope[x]) > 0]) == 0
}

# What is judged: a waiver that somebody asks for, makes, approves or changes. To
# reject one, or to let one end earlier, harms no rule.
waiver_judged if {
	input.admin.resource == "waiver"
	is_object(input.admin.after)
	not input.admin.after.state == "rejected"
	not only_shorter
}

# The server answers a change of anything but the end to an earlier one with a
# waiver that has to be approved again.
only_shorter if {
	input.admin.verb == "update"
	input.admin.before.state == "approved"
	input.admin.after.state == "approved"
}

waiver_comes_into_force if {
	waiver_judged
	not input.admin.after.state == "pending"
}

default waiver_id := ""

waiver_id := input.admin.id

default waiver_end := "no day"

waiver_end := input.admin.after.expires

# What no one can read is too long: a date that is none, a limit that is none. Years
# that nanoseconds do not reach are too long without being counted.
short_enough if {
	is_number(config.max_days)
	regex.match(`^20[0-9][0-9]-`, input.admin.after.expires)
	time.parse_rfc3339_ns(input.admin.after.expires) <= input.time.ns + (config.max_days * 86400000000000)
}

filled(key) if trim_space(input.admin.after[key]) != ""

# What an entry of never_waive forbids of the waiver, in words.
forbidden_by(listed) := {input.admin.after.rule} if {
	parts := split(listed, "|")
	count(parts) == 1
	glob.match(parts[0], null, input.admin.after.rule)
} else := found if {
	parts := split(listed, "|")
	count(parts) > 1
	glob.match(parts[0], null, input.admin.after.rule)
	pattern := concat("|", array.slice(parts, 1, count(parts)))
	found := named_terms(pattern)
} else := set()

named_terms(pattern) := {sprintf("%s for %s", [input.admin.after.rule, term]) |
	some term in input.admin.after.terms
	glob.match(pattern, null, term)
} if {
	count(input.admin.after.terms) > 0
} else := {sprintf("all terms of %s, %s among them", [input.admin.after.rule, pattern])}
