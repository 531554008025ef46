package bondgate.rules.rbac

# Whoever manages a project opens glass in it: for themselves, and for those who
# belong to it. The gate is asked once for each project that a grant is for.
may_manage if {
	breaking_glass
	input.admin.verb in {"create", "request"}
	manages_project
	input.admin.before == null
	glass_of_here(input.admin.after)
	glass_for_members
}

# Whoever pushes into a project asks for a grant of their own, which another approves.
may_manage if {
	breaking_glass
	input.admin.verb == "request"
	asks_for_glass
	input.admin.before == null
	input.admin.after.state == "pending"
	own_glass(input.admin.after)
	glass_of_here(input.admin.after)
}

may_manage if {
	breaking_glass
	input.admin.verb == "approve"
	manages_project
	glass_of_here(input.admin.before)
	glass_of_here(input.admin.after)
}

may_manage if {
	breaking_glass
	input.admin.verb in {"end", "read"}
	manages_project
	glass_of_here(input.admin.before)
}

# A grant is its subject's to see and to end.
may_manage if {
	breaking_glass
	input.admin.verb in {"end", "read", "list"}
	known
	unlimited
	own_glass(input.admin.before)
}

may_manage if {
	breaking_glass
	input.admin.verb == "list"
	manages_project
}

breaking_glass if {
	input.action == "admin.api"
	input.admin.resource == "breakglass"
}

asks_for_glass if {
	known
	input.subject.kind == "user"
	unlimited
	input.project.exists == true
	has("push")
}

glass_of_here(grant) if input.project.name in grant.projects

glass_for_members if own_glass(input.admin.after)

glass_for_members if input.admin.after.member == true

own_glass(grant) if {
	grant.subject == input.subject.id
	grant.issuer == input.subject.issuer
	grant.kind == input.subject.kind
}

# METADATA
# title: Glass is broken by somebody who is no person
# description: >-
#   A machine that opens its own way does so whenever a rule stops it. A robot or a
#   workload can have a grant that a person opened and that names it.
# custom:
#   code: rbac.breakglass_person
#   severity: high
#   remediation: Have a person do it.
#   waivable: false
deny contains {"code": "rbac.breakglass_person", "term": called, "msg": msg} if {
	input.action == "admin.api"
	breaking_glass
	not input.admin.verb in {"read", "list"}
	not input.subject.kind in {"user", "operator"}
	msg := sprintf("%s is no person and may not do %s", [who, called])
}

# METADATA
# title: Glass is approved by whom it is for, or who asked for it
# description: Two people look at an emergency. People who are linked are one person.
# custom:
#   code: rbac.breakglass_self
#   severity: high
#   remediation: Have another person approve it.
#   waivable: false
deny contains {"code": "rbac.breakglass_self", "term": called, "msg": msg} if {
	input.action == "admin.api"
	breaking_glass
	input.admin.verb == "approve"
	input.admin.after.state == "approved"
	not input.admin.after.self_decided == false
	msg := sprintf("%s asked for the grant or has it, and another person approves it", [who])
}

# METADATA
# title: Glass without a reason or an end
# description: Whoever reads the record later has to know why, and it ends by itself.
# custom:
#   code: rbac.breakglass_reason
#   severity: high
#   remediation: Name projects, a justification, a ticket and an end.
#   waivable: false
deny contains {"code": "rbac.breakglass_reason", "term": missing, "msg": msg} if {
	input.action == "admin.api"
	breaking_glass
	input.admin.verb in {"create", "request"}
	some missing in ["projects", "justification", "ticket", "expires"]
	object.get(input.admin.after, missing, "") in {"", []}
	msg := sprintf("a grant for an emergency has %s", [missing])
}
