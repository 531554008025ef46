# METADATA
# scope: package
# title: Time
# description: "The time of a decision is an input; nothing here reads a clock."
package bondgate.lib.time

ns_per_day := 86400000000000

# Whole days from an RFC 3339 date until the decision; negative for the future.
# Undefined for anything that is not a string.
age_days(date) := days if {
	is_string(date)
	days := floor((input.time.ns - time.parse_rfc3339_ns(date)) / ns_per_day)
}
