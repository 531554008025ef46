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

may if held[wanted]

# METADATA
# title: The action wants a right that the subject does not have here
# description: Rights come from roles in the project; a public project gives everybody the right to pull.
# custom:
#   code: rbac.right
#   severity: high
#   remediation: Ask an administrator of the project for a role that has the right.
#   waivable: false
deny contains {"code": "rbac.right", "term": wanted, "msg": msg} if {
	wanted
	not may
	known
	msg := sprintf("%s may not %s %s: it wants the right to %s", [who, input.action, where, wanted])
}

# METADATA
# title: An action that wants a right was asked for without signing in
# description: Only public projects are open to anonymous clients, and only to pull.
# custom:
#   code: rbac.anonymous
#   severity: high
#   remediation: Sign in with an account that has a role in the project.
#   waivable: false
deny contains {"code": "rbac.anonymous", "term": input.action, "msg": msg} if {
	not may
	not token_for_anybody
	input.subject.anonymous == true
	msg := sprintf("%s wants somebody who signed in: %s", [where, input.action])
}

# METADATA
# title: The account is disabled
# description: A disabled account may do nothing, in public projects either.
# custom:
#   code: rbac.disabled
#   severity: high
#   remediation: Ask an administrator of the system to enable the account.
#   waivable: false
deny contains {"code": "rbac.disabled", "msg": msg} if {
	not input.subject.disabled == false
	msg := sprintf("the account %s is disabled", [who])
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
# title: An action that no role has a right for
# description: What is not in the list of actions is allowed to nobody.
# custom:
#   code: rbac.action
#   severity: high
#   waivable: false
deny contains {"code": "rbac.action", "term": action, "msg": msg} if {
	not wanted
	not input.action in open_to_known
	not input.action in {"admin.api", "decision.read"}
	action := object.get(input, "action", "")
	msg := sprintf("no role may do %q", [action])
}

# What everybody may do who signed in.
open_to_known := {"registry.ping", "session.login", "token.issue", "catalog.list"}
