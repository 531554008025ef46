# METADATA
# scope: package
# title: Who may do what
# description: >-
#   Roles give rights, actions want rights. Nobody has a right that no role of
#   theirs, and no publicity of the project, gives them.
# custom:
#   class: access
#   mode: deny
package bondgate.rules.rbac

# A subject who is known, and not disabled.
known if {
	input.subject.anonymous == false
	input.subject.disabled == false
}

# What the subject is called in a message.
who := input.subject.name if {
	input.subject.anonymous == false
} else := "an anonymous client"

# What the message is about: the repository, else the project, else the registry.
where := name if {
	name := input.repository.name
} else := input.project.name if {
	input.project.name != ""
} else := "the registry"
