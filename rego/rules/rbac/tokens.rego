package bondgate.rules.rbac

# The part of the requested scopes that the token may carry. A scope proves what a
# client asked for; each request that bears the token is decided anew.
granted := [scope |
	some asked in input.token.requested
	given := given_rights(asked)
	actions := [action |
		some action in asked.actions
		carries(asked.type, action, given)
	]
	count(actions) > 0
	scope := {"type": asked.type, "name": asked.name, "actions": actions}
]

given_rights(asked) := {right |
	some source in [own_rights(asked), open_rights(asked), making_rights(asked)]
	some right in source
}

# What roles and grants give on the asked name, as far as the credential reaches.
own_rights(asked) := {right |
	input.subject.disabled == false
	some right in ({right |
		some role in asked.roles
		some right in rights[role]
	} | {right |
		some grant in asked.grants
		some right in rights_in_part
		gives(grant, asked.name, right)
	})
	within(asked.limits, asked.name, right)
}

open_rights(asked) := public_rights_known if {
	asked.project.exists == true
	asked.project.public == true
	known
} else := public_rights if {
	asked.project.exists == true
	asked.project.public == true
} else := set()

# Whose push may make the project has to be able to ask for it.
making_rights(asked) := {"pull", "push"} if {
	known
	input.subject.limits == null
	input.subject.robot == null
	asked.project.exists == false
	object.get(input.token, "auto", null) == "writers"
} else := set()

carries("repository", action, given) if given[action]

carries("repository", "*", given) if {
	every right in {"pull", "push", "delete"} {
		right in given
	}
}

carries("registry", "*", _) if known

# An anonymous client gets a token when there is something to put into it.
token_for_anybody if {
	input.action == "token.issue"
	count(granted) > 0
}
