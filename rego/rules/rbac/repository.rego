package bondgate.rules.rbac

# The right that each action on a repository wants.
wanted_by_action := {
	"manifest.pull": "pull",
	"manifest.push": "push",
	"manifest.delete": "delete",
	"tag.delete": "delete",
	"tags.list": "list",
	"referrers.list": "pull",
	"blob.push": "push",
	"blob.mount": "push",
	"blob.delete": "delete",
	"upload.status": "push",
	"upload.cancel": "push",
}

# A blob that no manifest names is part of somebody's push: it is theirs to read
# who push.
wanted := "pull" if {
	input.action == "blob.pull"
	is_string(input.blob.manifest)
} else := "push" if {
	input.action == "blob.pull"
} else := "list" if {
	input.action == "catalog.list"
	input.repository != null
} else := wanted_by_action[input.action]

# Everything that this pack allows. What is not here is refused, by one of the
# rules below or by the last of them.
permitted if has(wanted)

permitted if {
	not wanted
	input.action in open_to_known
	known
}

permitted if may_manage

permitted if token_for_anybody

# What everybody may do who signed in.
open_to_known := {"registry.ping", "session.login", "token.issue", "catalog.list"}

# METADATA
# title: The account is disabled
# description: A disabled account may do nothing, in public projects either.
# custom:
#   code: rbac.disabled
#   severity: high
#   remediation: Ask an administrator of the system to enable the account.
#   waivable: false
deny contains {"code": "rbac.disabled", "msg": msg} if {
	input.subject.disabled == true
	msg := sprintf("the account %s is disabled", [who])
}

# METADATA
# title: An action that wants a right was asked for without signing in
# description: Only public projects are open to anonymous clients, and only to pull.
# custom:
#   code: rbac.anonymous
#   severity: high
#   remediation: Sign in with an account that has a role in the project.
#   waivable: false
deny contains {"code": "rbac.anonymous", "term": action_name, "msg": msg} if {
	input.subject.anonymous == true
	not permitted
	msg := sprintf("%s wants somebody who signed in: %s", [where, action_name])
}

# METADATA
# title: A blob is mounted from where the subject may not pull
# description: A mount is a pull at its source and a push at its target.
# custom:
#   code: rbac.mount_source
#   severity: high
#   remediation: Upload the blob instead; clients do so by themselves.
#   waivable: false
deny contains {"code": "rbac.mount_source", "msg": msg} if {
	input.action == "blob.mount"
	not input.mount.subject_can_pull_from == true
	msg := sprintf("%s may not pull from the source of the mount", [who])
}

# METADATA
# title: The action wants a right that the subject does not have here
# description: >-
#   Rights come from roles in the project; a public project gives everybody the
#   right to pull. What no right is named for is allowed to nobody.
# custom:
#   code: rbac.right
#   severity: high
#   remediation: Ask an administrator of the project for a role that has the right.
#   waivable: false
deny contains {"code": "rbac.right", "term": wanted_name, "msg": msg} if {
	not permitted
	not told_otherwise
	msg := sprintf("%s may not %s %s: it wants the right to %s", [who, action_name, where, wanted_name])
}

# Refusals that a rule of their own puts into words.
told_otherwise if input.subject.disabled == true

told_otherwise if input.subject.anonymous == true

told_otherwise if {
	known
	input.action in {"admin.api", "decision.read"}
}

default wanted_name := "do what nobody may"

wanted_name := wanted

default action_name := "an unnamed action"

action_name := input.action
