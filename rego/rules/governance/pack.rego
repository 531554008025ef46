# METADATA
# scope: package
# title: How exceptions are made
# description: >-
#   What an exception must be before anybody may make it: a waiver of a rule, a
#   grant for an emergency. The pack is off until a project or the operator's bundle
#   turns it on; a key that is not set asks for nothing.
#
#   For waivers: max_days (how long one may last, counted from the moment of the
#   call), second_person (true: whoever asked for it, and its owner, cannot approve
#   it), never_waive (globs of rules, as "vuln.known_exploited", and of terms, as
#   "vuln.*|CVE-2024-3094"), ticket_required, ticket_pattern (a glob),
#   reason_required, and scope_required (true: it names a project, a repository or a
#   digest).
#
#   For emergencies: breakglass_max_minutes (how long a grant may last),
#   breakglass_second_person (true: another person approves it) and
#   breakglass_ticket_pattern (a glob).
# custom:
#   class: access
#   mode: off
package bondgate.rules.governance

import data.bondgate.lib.packs

config := packs.config.governance

# What each key of the configuration is. Whoever adds one adds it here.
shape := {
	"max_days": "number",
	"second_person": "boolean",
	"never_waive": "array",
	"ticket_required": "boolean",
	"ticket_pattern": "string",
	"reason_required": "boolean",
	"scope_required": "boolean",
}

# METADATA
# title: The pack is configured with something that it does not know
# description: A misspelt limit must not look like one that is in force.
# custom:
#   code: governance.config
#   severity: high
#   remediation: Repair the configuration of the pack governance.
#   waivable: false
deny contains {"code": "governance.config", "term": key, "msg": msg} if {
	input.action == "admin.api"
	waiver_judged
	some key, value in config
	not startswith(key, "breakglass")
	not type_name(value) == shape[key]
	msg := sprintf("the pack governance is configured with %s, which is no key of it or not of its type (%s)", [key, object.get(shape, key, "none")])
}

deny contains {"code": "governance.config", "term": "never_waive", "msg": "never_waive lists texts, such as vuln.critical_fixable or vuln.*|CVE-2024-3094"} if {
	input.action == "admin.api"
	waiver_judged
	some listed in config.never_waive
	not is_string(listed)
}
