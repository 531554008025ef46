# The denials that are built in: a pack or a fact that is not there, and rules
# that say something which is no deny. No waiver lifts them.
package bondgate

import data.bondgate.meta

names := {pack.name | some pack in running}

# What this purpose cannot do without and nobody lists, and what is listed and not
# loaded.
unloaded := (required_now - names) | (names - object.keys(loaded))

required_now := set() if {
	left_out[input.purpose] == "access"
} else := required

default loaded := {}

loaded := meta.packs

builtin_deny contains reason if {
	some name in unloaded
	mode_by_name(name) == "deny"
	not mending(name)
	reason := missing_pack(name, "deny")
}

# A project that asks for a pack which nobody loaded is mended by these calls, or
# never. Who may make them is the rbac pack's to say, as always.
mending(name) if {
	not name in required
	input.action == "decision.read"
}

mending(name) if {
	not name in required
	input.action == "admin.api"
	[input.admin.resource, input.admin.verb] in mends
}

mends := {["project", "read"], ["project", "update"], ["member", "list"]}

# A pack that is asked for and not listed is asked for in earnest.
mode_by_name(name) := mode if {
	some pack in input.project.packs
	pack.name == name
	mode := mode_of(pack)
} else := "deny"

builtin_deny contains builtin("bondgate.fact_missing", pack.name, group, msg, fix) if {
	some group, state in missing_facts
	some pack in state.packs
	mode_of(pack) == "deny"
	msg := sprintf("what pack %s must know (%s) is not known: %s", [pack.name, group, state.status])
	fix := "Wait until it is known, or have the source of it repaired."
}

builtin_deny contains builtin("bondgate.policy_error", pack.name, "", msg, fix) if {
	some [pack, entry] in raised
	not well_formed(entry)
	msg := sprintf("a deny of pack %s is not an object with a code and a msg", [pack.name])
	fix := "The author of the pack has to repair the rule."
}

builtin_deny contains builtin("bondgate.policy_error", pack.name, "", msg, fix) if {
	some [pack, entry] in asked
	not sound(entry)
	msg := sprintf("an obligation of pack %s is not an object with a type", [pack.name])
	fix := "The author of the pack has to repair the rule."
}

builtin(code, pack, term, msg, fix) := {
	"code": code, "pack": pack, "mode": "deny", "severity": "critical",
	"term": term, "msg": msg, "remediation": fix, "effective_on": "",
}

missing_pack(name, mode) := object.union(
	builtin(
		"bondgate.pack_missing", name, name,
		sprintf("pack %s is required and not loaded", [name]),
		"The operator has to restore the pack, or take it out of the project.",
	),
	{"mode": mode},
)

# The groups that packs which run need for this action and that have no usable
# status. An accessory is evidence itself: none is asked of it.
missing_facts[group] := {"packs": packs, "status": status_of(group)} if {
	some group, _ in meta.needs[input.action]
	not usable(group)
	not accessory
	packs := [pack |
		some pack in running
		pack.name in meta.needs[input.action][group]
	]
	count(packs) > 0
}

# The fact groups by name. They are written out so that it can be told what the
# decision reads; a group that is not here is never usable.
fact["base"] := input.artifact.base

fact["signatures"] := input.artifact.signatures

fact["attestations"] := input.artifact.attestations

fact["sbom"] := input.artifact.sbom

fact["vulnerabilities"] := input.artifact.vulnerabilities

fact["vex"] := input.artifact.vex

fact["vsa"] := input.artifact.vsa

accessory if input.artifact.role in {"signature", "attestation", "sbom", "vex"}

usable(group) if fact[group].status == "ok"

# There being no evidence is an answer, which rules judge. A measurement that
# nobody made is none.
usable(group) if {
	fact[group].status == "absent"
	not group in {"sbom", "vulnerabilities"}
}

status_of(group) := status if {
	status := fact[group].status
} else := "absent"

retry_after_s := max({0} | {s |
	some group, _ in missing_facts
	s := fact[group].retry_after_s
})
