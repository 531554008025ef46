package bondgate.rules.rbac

# Robots and access tokens: who may make them, and how far they may reach. What a
# credential gives is never more than its maker has at that moment.

# METADATA
# title: A robot would have more than the one who makes it
# description: >-
#   A robot's permissions are a part of its maker's, in this project, whether it is
#   made or changed.
# custom:
#   code: rbac.robot_permissions
#   severity: high
#   remediation: Ask for permissions that you have yourself in this project.
#   waivable: false
deny contains {"code": "rbac.robot_permissions", "term": right, "msg": msg} if {
	input.action == "admin.api"
	input.admin.resource == "robot"
	known
	some grant in input.admin.after.grants
	some right in grant.rights
	not may_hand_on(grant, right)
	msg := sprintf("%s may not give a robot the right to %s in %s", [who, right, grant.project])
}

may_hand_on(_, _) if "admin" in input.subject.roles

may_hand_on(grant, right) if {
	grant.project == input.project.name
	has(right)
}

# An administrator of a project manages the robots of that project and no others.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "robot"
	manages_project
	robot_of_here(input.admin.before)
	robot_of_here(input.admin.after)
}

robot_of_here(null)

robot_of_here(robot) if {
	robot.project == input.project.name
	every grant in robot.grants {
		grant.project == input.project.name
	}
}

# People manage their own access tokens.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "access_token"
	known
	unlimited
	input.subject.kind == "user"
	input.subject.auth != "access_token"
	not outlives
	token_of_mine(input.admin.before)
	token_of_mine(input.admin.after)
}

# An access token makes no other one and does not set its owner's password: whoever
# found it would go on after it was revoked. Its owner's roles do not matter.
outlives if {
	input.subject.auth == "access_token"
	input.admin.resource == "access_token"
	input.admin.verb == "create"
}

outlives if {
	input.subject.auth == "access_token"
	input.admin.resource == "user"
	input.admin.verb == "passwd"
	input.admin.id == input.subject.id
}

token_of_mine(null)

token_of_mine(token) if {
	token.owner == input.subject.id
	token.issuer == input.subject.issuer
}

# Everybody may ask who they are, and end their own session.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "self"
	known
}

# Everybody may ask which projects there are: about each of them it is asked anew
# whether that one may read it.
may_manage if {
	input.action == "admin.api"
	input.admin.resource == "project"
	input.admin.verb == "list"
	known
}

# METADATA
# title: A workspace is managed from another one
# description: >-
#   Workspaces are tenants of one installation: only the administrator of the
#   default workspace makes and changes them, and reads those of others.
# custom:
#   code: rbac.workspace
#   severity: high
#   remediation: Ask the administrator of the installation.
#   waivable: false
deny contains {"code": "rbac.workspace", "term": input.admin.verb, "msg": msg} if {
	input.action == "admin.api"
	of_the_installation
	input.workspace != "default"
	msg := sprintf("%s may not manage the installation from the workspace %s", [who, input.workspace])
}

of_the_installation if {
	input.admin.resource in {"workspace", "index", "status"}
	input.admin.verb != "read"
}

of_the_installation if {
	input.admin.resource == "workspace"
	input.admin.id != input.workspace
}
