# METADATA
# scope: package
# title: The decision
# description: >-
#   Runs the packs that stand in input.project.packs, as far as the purpose of the
#   request runs their class, and puts what they say into one document. What a deny
#   comes to is settled here alone: the mode of its pack, the date from which it
#   holds, and the waivers that match it.
package bondgate

import data.bondgate.meta

# Most requests are allowed and nothing has to be said about them: the short way
# asks no more than that.
decision := {
	"api": 1,
	"allow": true,
	"deny": [],
	"warn": [],
	"dryrun": [],
	"waived": [],
	"visible": visible,
	"granted": offered,
	"obligations": [],
	"message": "",
	"retry_after_s": 0,
	"breakglass": "",
} if {
	silent
} else := {
	"api": 1,
	"allow": allow,
	"deny": deny,
	"warn": warn,
	"dryrun": dryrun,
	"waived": waived,
	"visible": visible,
	"granted": granted,
	"obligations": obligations,
	"message": message,
	"retry_after_s": retry_after_s,
	"breakglass": broken,
}

silent if {
	count(raised) == 0
	count(unloaded) == 0
	count(missing_facts) == 0
	count(warnings) == 0
	count(asked) == 0
}

default allow := false

allow if count(deny) == 0

# The packs that a decision cannot do without, whatever the project says.
required := {"rbac"}

# The class that a purpose leaves out. Every purpose that is not here runs all,
# so a purpose that nobody knows skips nothing.
left_out := {
	"inspect": "content",
	"scan": "content",
	"token": "content",
	"evaluate": "access",
	"audit": "access",
}

running := input.project.packs if {
	not left_out[input.purpose]
} else := [pack |
	some pack in input.project.packs
	not idle(pack)
] if {
	is_array(input.project.packs)
} else := []

# A pack whose class is not known, because it is not loaded, runs: it is then
# found missing.
idle(pack) if left_out[input.purpose] == meta.packs[pack.name].class

# The packs that have something to say about the action, as found when the bundle
# was built: a rule that names another action cannot speak.
speaks(kind) := packs if {
	packs := meta.speaks[kind][input.action]
} else := packs if {
	packs := meta.speaks[kind]["*"]
} else := {}

raised := [[pack, entry] |
	said := speaks("deny")
	said != {}
	some pack in running
	said[pack.name]
	some entry in data.bondgate.rules[pack.name].deny
]

warnings := [[pack, entry] |
	said := speaks("warn")
	said != {}
	some pack in running
	said[pack.name]
	some entry in data.bondgate.rules[pack.name].warn
]

asked := [[pack, entry] |
	said := speaks("obligation")
	said != {}
	some pack in running
	said[pack.name]
	some entry in data.bondgate.rules[pack.name].obligation
]

# judged holds every entry that is formed as it must be, once, with what it comes to.
judged contains {"effect": effect, "rank": rank, "reason": reason, "waivers": waivers, "firm": firm_entry} if {
	some [pack, entry] in raised
	well_formed(entry)
	rule := described(pack.name, entry.code)
	reason := {
		"code": entry.code,
		"pack": pack.name,
		"mode": mode_of(pack),
		"msg": entry.msg,
		"term": object.get(entry, "term", ""),
		"severity": first_of(entry, rule, "severity"),
		"remediation": first_of(entry, rule, "remediation"),
		"effective_on": first_of(rule, entry, "effective_on"),
	}
	waivers := lifting(reason, entry, rule)
	effect := effect_of(reason, waivers)
	rank := rank_of(pack.name, reason.severity)
	firm_entry := object.get(entry, "breakglass", true) == false
}

described(pack, code) := rule if {
	rule := meta.rules[pack][code]
} else := {}

first_of(a, b, key) := value if {
	value := a[key]
} else := value if {
	value := b[key]
} else := ""

# A mode that nobody knows denies.
mode_of(pack) := "deny" if {
	pack.name in required
} else := pack.mode if {
	pack.mode in {"off", "dryrun", "warn"}
} else := "deny"

effect_of(_, waivers) := "waived" if {
	count(waivers) > 0
}

effect_of(reason, waivers) := reason.mode if {
	count(waivers) == 0
	reason.mode in {"dryrun", "warn"}
}

effect_of(reason, waivers) := "warn" if {
	count(waivers) == 0
	reason.mode == "deny"
	not in_force(reason.effective_on)
}

effect_of(reason, waivers) := "deny" if {
	count(waivers) == 0
	reason.mode == "deny"
	in_force(reason.effective_on)
}

in_force("")

in_force(date) if {
	date != ""
	time.parse_rfc3339_ns(date) <= input.time.ns
}

# Access comes before content, the severe before the slight: the first reason is
# the one that a person is told.
rank_of(pack, severity) := (class_rank(pack) * 10) + object.get(severities, severity, 4)

class_rank(pack) := 0 if {
	meta.packs[pack].class == "access"
} else := 1

severities := {"critical": 0, "high": 1, "medium": 2, "low": 3}

# What a deny must be. Everything but code and msg may be left out.
well_formed(entry) if {
	is_object(entry)
	is_string(entry.code)
	entry.code != ""
	is_string(entry.msg)
	wrong := [key |
		some key in ["term", "severity", "remediation", "effective_on"]
		not is_string(object.get(entry, key, ""))
	]
	count(wrong) == 0
}

# Waivers are looked up, not searched: waived_by is made once, by code and term.
# A waiver that names no term lifts every term of its rule.
lifting(reason, entry, rule) := {id |
	waivable(entry, rule)
	some key in [concat("|", [reason.code, reason.term]), reason.code]
	some id in waived_by[key]
}

waivable(entry, rule) if {
	not entry.waivable == false
	not rule.waivable == false
}

waived_by[concat("|", [waiver.rule, term])] contains waiver.id if {
	some waiver in input.waivers
	some term in waiver.terms
}

waived_by[waiver.rule] contains waiver.id if {
	some waiver in input.waivers
	count(waiver.terms) == 0
}

denied contains [rank, reason] if {
	some entry in judged
	entry.effect == "deny"
	rank := entry.rank
	reason := entry.reason
}

denied contains [class_rank(reason.pack) * 10, reason] if some reason in builtin_deny

deny := [reason |
	broken == ""
	some [_, reason] in sort(denied)
]

warned contains [entry.rank, entry.reason] if {
	some entry in judged
	entry.effect == "warn"
}

warned contains [rank, reason] if {
	some [pack, entry] in warnings
	mode_of(pack) in {"warn", "deny"}
	reason := warning(pack, entry)
	rank := rank_of(pack.name, reason.severity)
}

warned contains [10, reason] if {
	some name in unloaded
	mode_by_name(name) == "warn"
	reason := missing_pack(name, "warn")
}

warned contains [10, object.union(builtin("bondgate.fact_missing", pack.name, group, msg, ""), {"mode": "warn"})] if {
	some group, state in missing_facts
	some pack in state.packs
	mode_of(pack) == "warn"
	msg := sprintf("what pack %s must know (%s) is not known: %s", [pack.name, group, state.status])
}

warning(pack, entry) := {
	"code": entry.code,
	"pack": pack.name,
	"mode": mode_of(pack),
	"msg": entry.msg,
	"term": object.get(entry, "term", ""),
	"severity": first_of(entry, described(pack.name, entry.code), "severity"),
	"remediation": first_of(entry, described(pack.name, entry.code), "remediation"),
	"effective_on": "",
} if {
	well_formed(entry)
} else := object.union(
	builtin("bondgate.policy_error", pack.name, "", sprintf("a warn of pack %s is not an object with a code and a msg", [pack.name]), ""),
	{"mode": "warn"},
)

warn := [reason | some [_, reason] in sort(warned)]

tried contains [entry.rank, entry.reason] if {
	some entry in judged
	entry.effect == "dryrun"
}

tried contains [rank, reason] if {
	some [pack, entry] in warnings
	mode_of(pack) == "dryrun"
	reason := warning(pack, entry)
	rank := rank_of(pack.name, reason.severity)
}

dryrun := [reason | some [_, reason] in sort(tried)]

waived := array.concat(
	[lifted |
		some entry in judged
		some id in entry.waivers
		lifted := {"code": entry.reason.code, "term": entry.reason.term, "waiver": id}
	],
	waived_by_glass,
)

# What must follow is asked by packs that are in force, not by those on trial.
obligations := array.concat(
	[entry |
		some entry in {entry |
			some [pack, entry] in asked
			mode_of(pack) in {"warn", "deny"}
			sound(entry)
		}
	],
	watched,
)

# What an obligation must be.
sound(entry) if {
	is_object(entry)
	is_string(entry.type)
}

# Whether the subject may know of the repository is the rbac pack's to say.
default visible := false

visible := data.bondgate.rules.rbac.visible

# What a token may carry, if it is issued at all.
default offered := []

offered := data.bondgate.rules.rbac.granted

default granted := []

granted := offered if allow

default message := ""

message := sprintf("[%s] %s", [deny[0].code, deny[0].msg])
