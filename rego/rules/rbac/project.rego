package bondgate.rules.rbac

# METADATA
# title: A push into a project that nobody made
# description: >-
#   Where the push could have made the project it was made before this is asked.
#   An administrator's right to push everywhere does not reach where nothing is.
# custom:
#   code: rbac.no_project
#   severity: medium
#   remediation: "Make the project first: bondgate project create NAME."
#   waivable: false
deny contains {"code": "rbac.no_project", "term": input.project.name, "msg": msg} if {
	input.action in {"manifest.push", "blob.push", "blob.mount"}
	input.project.exists == false
	permitted
	msg := sprintf("the project %s does not exist", [input.project.name])
}
