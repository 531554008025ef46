package bondgate.rules.rbac

# The rights that each role gives in its project, with Harbor's meaning: what sets
# a limited guest apart is not to see who else is a member. "admin" is the
# administrator of the system and holds everywhere.
rights := {
	"limitedGuest": {"pull", "list"},
	"guest": {"pull", "list", "members"},
	"developer": {"pull", "list", "members", "push"},
	"maintainer": {"pull", "list", "members", "push", "delete"},
	"projectAdmin": {"pull", "list", "members", "push", "delete", "manage"},
	"admin": {"pull", "list", "members", "push", "delete", "manage", "admin"},
}

# What a public project gives to everybody, and to everybody who signed in.
public_rights := {"pull"}

public_rights_known := {"pull", "list"}

# The roles that may be given to somebody in a project.
project_roles := {role | some role, _ in rights; role != "admin"}

# Whether the subject has a right in the project of the request. Nobody who is
# disabled has one.
has(right) if {
	input.subject.disabled == false
	some role in input.subject.roles
	rights[role][right]
}

has(right) if {
	public
	input.subject.disabled == false
	public_rights[right]
}

has(right) if {
	public
	known
	public_rights_known[right]
}

public if {
	input.project.exists == true
	input.project.public == true
}
