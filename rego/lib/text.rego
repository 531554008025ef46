# METADATA
# scope: package
# title: Patterns
# description: "Patterns are globs in which * crosses every character."
package bondgate.lib.text

matches_any(patterns, text) if {
	some pattern in patterns
	glob.match(pattern, null, text)
}
