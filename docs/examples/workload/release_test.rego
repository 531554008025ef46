package bondgate.rules.release_test

import data.bondgate.rules.release

# The subject as the gateway makes it of a job's token.
job := {
	"kind": "workload",
	"issuer": "https://token.actions.githubusercontent.com",
	"id": "repo:acme/api:environment:prod",
	"name": "acme/api@refs/heads/main",
	"anonymous": false,
	"claims": {"repository": "acme/api", "ref": "refs/heads/main", "environment": "prod", "actor": "alice"},
}

person := {
	"kind": "user", "issuer": "local", "id": "alice", "name": "alice", "anonymous": false, "roles": ["maintainer"], "claims": {},
}

request(action, repository, subject) := {
	"action": action,
	"repository": {"name": repository},
	"subject": subject,
}

with_claims(claims) := object.union(job, {"claims": claims})

refused(subject) if {
	count(release.deny) == 1 with input as request("manifest.push", "payments/api", subject)
}

test_the_pipeline_releases if {
	every action in release.writing {
		count(release.deny) == 0 with input as request(action, "payments/api", job)
	}
}

test_another_branch_does_not if refused(with_claims({"ref": "refs/heads/feature"}))

test_a_tag_called_main_does_not if refused(with_claims({"ref": "refs/tags/main"}))

test_another_environment_does_not if refused(with_claims({"environment": "staging"}))

test_a_fork_does_not if refused(with_claims({"repository": "mallory/api"}))

test_a_job_without_an_environment_does_not if refused(object.union(object.remove(job, ["claims"]), {"claims": {
	"repository": "acme/api",
	"ref": "refs/heads/main",
}}))

test_another_issuer_that_says_the_same_does_not if refused(object.union(job, {"issuer": "https://gitlab.com"}))

test_a_person_with_the_claims_does_not if refused(object.union(job, {"kind": "user"}))

test_people_do_not if refused(person)

test_nobody_does_not if refused({"kind": "", "issuer": "", "name": "", "anonymous": true, "claims": {}})

test_reading_is_not_releasing if {
	count(release.deny) == 0 with input as request("manifest.pull", "payments/api", person)
}

test_other_repositories_are_written_as_ever if {
	count(release.deny) == 0 with input as request("manifest.push", "payments/web", person)
}

test_the_message_says_who_and_what if {
	some denied in release.deny with input as request("manifest.push", "payments/api", person)
	denied.msg == "payments/api is released by acme/api at refs/heads/main for prod, not by alice"
}
