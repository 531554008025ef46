# Broken glass: a grant in the input lets its subject use images that rules of
# content deny. Who may do what is not touched by it, and it lifts all that stands
# in the way or nothing: a denial that is left over tells every reason.
package bondgate

import data.bondgate.meta

# What somebody does with images in an emergency. Deleting is not among it, nor is
# managing anything.
breakable := {
	"manifest.pull", "blob.pull", "manifest.push", "blob.push", "blob.mount",
	"upload.status", "upload.cancel",
}

# The grant that lifts what denies; empty while the glass is whole.
default broken := ""

broken := input.breakglass.grant if {
	count(denied) > 0
	input.purpose == "use"
	input.action in breakable
	is_string(input.breakglass.grant)
	every entry in denied {
		yields(entry[1])
	}
}

# A rule of content yields, unless its METADATA says that it does not.
yields(reason) if {
	meta.packs[reason.pack].class == "content"
	not startswith(reason.code, "bondgate.")
	not described(reason.pack, reason.code).breakglass == false
	not reason in firm
}

# So does a fact that such rules wait for, where no rule of the pack that does not
# yield waits for it as well.
yields(reason) if {
	reason.code == "bondgate.fact_missing"
	meta.packs[reason.pack].class == "content"
	not awaited(reason.pack, reason.term)
}

awaited(pack, group) if {
	some name in meta.firm[input.action][group]
	name == pack
}

# A deny may say of itself that it does not yield.
firm contains entry.reason if {
	some entry in judged
	entry.firm
}

waived_by_glass := [lifted |
	broken != ""
	some [_, reason] in sort(denied)
	lifted := {"code": reason.code, "term": reason.term, "waiver": broken}
]

warned contains [-1, object.union(builtin("bondgate.breakglass", "bondgate", broken, msg, ""), {"mode": "warn"})] if {
	broken != ""
	msg := sprintf("glass is broken: %s lifts %d denials until %s", [broken, count(denied), input.breakglass.expires])
}

# Everything about it is written down.
watched := [{"type": "audit", "level": "full"} | broken != ""]
