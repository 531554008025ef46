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

# What a grant for a part of a project can give: such a grant reaches images, and
# nothing of the project itself.
rights_in_part := {"pull", "list", "push", "delete"}

# Whether the subject has a right in the project of the request. Nobody who is
# disabled has one, and a credential with limits reaches no further than those.
has(right) if {
	input.subject.disabled == false
	within(input.subject.limits, here, right)
	held(right)
}

held(right) if {
	some role in input.subject.roles
	rights[role][right]
}

held(right) if {
	some grant in input.subject.grants
	gives(grant, here, right)
}

# Whether limits let a right through; null is a credential without any.
within(null, _, _)

within(limits, name, right) if {
	some grant in limits
	gives(grant, name, right)
}

# Whether a grant gives a right on a name.
gives(grant, _, right) if {
	grant.repositories == null
	right_of(grant, right)
}

gives(grant, name, right) if {
	is_string(grant.repositories)
	glob.match(grant.repositories, ["/"], name)
	rights_in_part[right]
	right_of(grant, right)
}

right_of(grant, right) if rights[grant.role][right]

right_of(grant, right) if right in grant.rights

# The repository of the request; empty where there is none.
default here := ""

here := input.repository.name

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
