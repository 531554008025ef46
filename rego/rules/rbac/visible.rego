package bondgate.rules.rbac

# Whether the subject may know that the project exists. A denial of what is not
# visible is told as "not found".
default visible := false

visible if input.project.name == ""

visible if public

visible if {
	input.subject.disabled == false
	within_sight(input.subject.limits)
	count(input.subject.roles) > 0
}

# A grant for a part of the project shows that part.
visible if {
	input.subject.disabled == false
	within_sight(input.subject.limits)
	some grant in input.subject.grants
	in_sight(grant)
}

within_sight(null)

within_sight(limits) if {
	some grant in limits
	in_sight(grant)
}

in_sight(grant) if grant.repositories == null

in_sight(_) if here == input.project.name

in_sight(grant) if {
	is_string(grant.repositories)
	glob.match(grant.repositories, ["/"], here)
}
