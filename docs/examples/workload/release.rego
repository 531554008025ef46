# METADATA
# scope: package
# title: Who releases
# description: >-
#   Some repositories are written by one pipeline and by nobody else: not by people
#   with the right to push, and not by the same pipeline on another branch.
# custom:
#   class: access
package bondgate.rules.release

# What a pipeline's token must say for it to write a repository. The names are those
# of the claims that GitHub Actions signs.
pipelines := {"payments/api": {
	"repository": "acme/api",
	"ref": "refs/heads/main",
	"environment": "prod",
}}

issuer := "https://token.actions.githubusercontent.com"

# METADATA
# title: A release by somebody else than its pipeline
# custom:
#   code: release.not_the_pipeline
#   severity: high
#   remediation: Release through the pipeline of the repository.
#   waivable: false
deny contains {"code": "release.not_the_pipeline", "msg": msg} if {
	input.action in writing
	wanted := pipelines[input.repository.name]
	not by_pipeline(wanted)
	msg := sprintf("%s is released by %s at %s for %s, not by %s", [
		input.repository.name, wanted.repository, wanted.ref, wanted.environment, who,
	])
}

writing := {"blob.push", "blob.mount", "blob.delete", "manifest.push", "manifest.delete", "tag.delete"}

by_pipeline(wanted) if {
	input.subject.kind == "workload"
	input.subject.issuer == issuer
	every claim, value in wanted {
		input.subject.claims[claim] == value
	}
}

who := input.subject.name if {
	input.subject.anonymous == false
} else := "somebody unknown"
