package bondgate.rules.rbac

# METADATA
# title: A management call that the subject may not make
# description: >-
#   The administrator of the system may make every call; an administrator of a
#   project those about its members, its waivers and its settings.
# custom:
#   code: rbac.admin
#   severity: high
#   remediation: Ask an administrator to do it.
#   waivable: false
deny contains {"code": "rbac.admin", "term": called, "msg": msg} if {
	input.action == "admin.api"
	known
	not permitted
	msg := sprintf("%s may not do %s", [who, called])
}

default called := "unnamed"

# The call as people write it.
called := concat(":", [input.admin.resource, input.admin.verb])

deny contains {"code": "rbac.admin", "term": "decision.read", "msg": msg} if {
	input.action == "decision.read"
	known
	not permitted
	msg := sprintf("%s may read decisions about themselves only: one by its id, or those of subject %v of issuer %v", [who, own_id, own_issuer])
}

# Fields that are not there must not keep the rule silent.
default own_id := "?"

own_id := input.subject.id

default own_issuer := "?"

own_issuer := input.subject.issuer

reading := {"read", "list", "get", "show"}

may_manage if {
	input.action == "admin.api"
	has("admin")
	not forbidden_auto
	not outlives
}

may_manage if {
	input.action == "decision.read"
	has("admin")
}

# A push into a project that nobody made asks to make it. Whose pushes may do so
# is the operator's setting; making one by hand (auto is null) is the
# administrator's right.
forbidden_auto if {
	input.admin.auto != null
	not input.admin.auto in {"admins", "writers"}
}

may_manage if {
	input.action == "admin.api"
	input.admin.resource == "project"
	input.admin.verb == "create"
	input.admin.auto == "writers"
	input.subject.robot == null
	unlimited
	known
}

may_manage if {
	input.action == "admin.api"
	manages_project
	input.admin.resource == "member"
	member_of_here(input.admin.before)
	member_of_here(input.admin.after)
}

may_manage if {
	input.action == "admin.api"
	manages_project
	input.admin.resource == "project"
	input.admin.verb in (reading | {"update"})
}

# What another policy would decide, or would have decided, in the project.
may_manage if {
	input.action == "admin.api"
	manages_project
	input.admin.resource == "policy"
	input.admin.verb in {"shadow", "audit"}
}

# What would be decided about a member of the project.
may_manage if {
	input.action == "admin.api"
	manages_project
	input.admin.resource == "policy"
	input.admin.verb == "explain"
	input.admin.after.member == true
}

may_manage if {
	input.action == "admin.api"
	has("list")
	input.project.exists == true
	input.admin.resource == "project"
	input.admin.verb in {"read", "get", "show"}
}

may_manage if {
	input.action == "admin.api"
	has("members")
	input.project.exists == true
	input.admin.resource == "member"
	input.admin.verb in reading
}

may_manage if {
	input.action == "admin.api"
	input.admin.resource == "user"
	input.admin.verb == "passwd"
	input.admin.id == input.subject.id
	input.subject.issuer == "local"
	input.subject.kind == "user"
	not outlives
	unlimited
	known
}

# People read what was decided about themselves, with a credential that sees where: one
# for a part of their projects is not to tell of the others.
may_manage if {
	input.action == "decision.read"
	known
	within_sight(input.subject.limits)
	input.admin.before.subject == input.subject.id
	input.admin.before.issuer == input.subject.issuer
}

may_manage if {
	input.action == "decision.read"
	manages_project
}

manages_project if {
	input.project.exists == true
	has("manage")
}

# A credential that reaches as far as its owner.
unlimited if input.subject.limits == null

# A member that an administrator of this project may make or take away.
member_of_here(null)

member_of_here(member) if {
	object.get(member, "project", input.project.name) == input.project.name
	role_to_hand_on(object.get(member, "role", "guest"), object.get(member, "rights", []))
}

# A role of the project, or one that somebody made: it gives nothing that its giver
# has not, and whoever takes it away has what it gave.
role_to_hand_on(role, []) if {
	role in project_roles
	every right in rights[role] {
		has(right)
	}
}

role_to_hand_on(_, given) if {
	count(given) > 0
	every right in given {
		has(right)
	}
}
