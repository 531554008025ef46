package bondgate.rules.rbac

# Whether the subject may know that the project exists. A denial of what is not
# visible is told as "not found".
default visible := false

visible if input.project.name == ""

visible if public

visible if {
	input.subject.disabled == false
	count(input.subject.roles) > 0
}
