package bondgate.rules.rbac

# Whoever manages a project makes, approves, rejects and removes its waivers.
may_manage if {
	input.action == "admin.api"
	manages_project
	input.admin.resource == "waiver"
	waiver_of_here(input.admin.before)
	waiver_of_here(input.admin.after)
}

# Whoever pushes into a project asks for a waiver in it. A machine does not: it would
# ask whenever a rule stops it.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "waiver"
	input.admin.verb == "request"
	asks
	input.admin.before == null
	input.admin.after.state == "pending"
	waiver_of_here(input.admin.after)
}

# What somebody asked for and nobody approved can be changed and taken back by the same.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "waiver"
	input.admin.verb in {"update", "delete"}
	asks
	input.admin.before.state in {"pending", "rejected"}
	input.admin.before.requested_by == concat("#", [input.subject.issuer, input.subject.id])
	waiver_of_here(input.admin.before)
	waiver_of_here(input.admin.after)
	not input.admin.after.state == "approved"
}

# Whoever pushes sees what is lifted in the project, and what was asked for.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "waiver"
	input.admin.verb in reading
	known
	input.project.exists == true
	has("push")
	waiver_of_here(input.admin.before)
}

asks if {
	known
	input.subject.kind == "user"
	unlimited
	input.project.exists == true
	has("push")
}

# A waiver that lifts a rule in this project and nowhere else.
waiver_of_here(null)

waiver_of_here(waiver) if {
	scope := object.get(waiver, "scope", waiver)
	count(scope.projects) > 0
	every project in scope.projects {
		project == input.project.name
	}
	every repository in object.get(scope, "repositories", []) {
		startswith(repository, concat("", [input.project.name, "/"]))
	}
}
