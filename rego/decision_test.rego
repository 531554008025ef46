package bondgate_test

import data.bondgate
import data.bondgate.lib.fixtures

packs(mode) := {"project": {"packs": [
	{"name": "mine", "mode": mode, "config": {}},
	{"name": "rbac", "mode": "deny", "config": {}},
]}}

pull(more) := object.union(fixtures.input_for("manifest.pull", {"artifact": fixtures.artifact}), more)

meta := object.union(fixtures.meta, {
	"rules": {"mine": {
		"mine.no": {"waivable": true, "severity": "low", "remediation": "Do not."},
		"mine.never": {"waivable": false},
		"mine.later": {"waivable": true, "effective_on": "2030-01-01T00:00:00Z"},
	}},
	"speaks": {"deny": {"*": {"mine": true}}},
})

# The decision about doc when pack mine says deny.
decide(doc, deny) := decision if {
	decision := bondgate.decision with input as doc
		with data.bondgate.meta as meta
		with data.bondgate.rules.mine.deny as deny
}

no := {{"code": "mine.no", "msg": "no"}}

test_nothing_said_is_an_allow if {
	decision := decide(pull(packs("deny")), set())
	decision.allow
	decision.visible
	decision.message == ""
}

test_a_deny_denies_with_what_is_known_of_its_code if {
	decision := decide(pull(packs("deny")), no)
	not decision.allow
	decision.message == "[mine.no] no"
	decision.deny == [{
		"code": "mine.no", "pack": "mine", "mode": "deny", "msg": "no", "term": "",
		"severity": "low", "remediation": "Do not.", "effective_on": "",
	}]
}

test_a_mode_below_deny_allows if {
	warned := decide(pull(packs("warn")), no)
	warned.allow
	warned.warn[0].code == "mine.no"
	tried := decide(pull(packs("dryrun")), no)
	tried.allow
	tried.dryrun[0].code == "mine.no"
}

test_a_mode_that_nobody_knows_denies if not decide(pull(packs("sometimes")), no).allow

test_a_rule_whose_date_is_ahead_warns if {
	decision := decide(pull(packs("deny")), {{"code": "mine.later", "msg": "later"}})
	decision.allow
	decision.warn[0].effective_on == "2030-01-01T00:00:00Z"
}

test_a_deny_of_the_wrong_shape_denies if {
	every entry in ["text", {"msg": "no code"}, {"code": "", "msg": "x"}, {"code": "a", "msg": 1}, {"code": "a", "msg": "b", "term": 1}, true, null] {
		decision := decide(pull(packs("dryrun")), {entry})
		decision.deny[0].code == "bondgate.policy_error"
	}
}

waiver(rule, terms) := {"waivers": [{
	"id": "W-1", "rule": rule, "terms": terms, "owner": "o",
	"approver": null, "ticket": null, "expires": "2026-12-01T00:00:00Z",
}]}

test_a_waiver_lifts_the_rule_that_it_names if {
	decision := decide(object.union(pull(packs("deny")), waiver("mine.no", [])), no)
	decision.allow
	decision.waived == [{"code": "mine.no", "term": "", "waiver": "W-1"}]
}

test_a_waiver_with_terms_lifts_those if {
	deny := {{"code": "mine.no", "term": "a", "msg": "a"}, {"code": "mine.no", "term": "b", "msg": "b"}}
	decision := decide(object.union(pull(packs("deny")), waiver("mine.no", ["a"])), deny)
	not decision.allow
	[entry.term | some entry in decision.deny] == ["b"]
	[entry.term | some entry in decision.waived] == ["a"]
}

test_no_waiver_lifts_what_is_not_waivable if {
	doc := object.union(pull(packs("deny")), waiver("mine.never", []))
	not decide(doc, {{"code": "mine.never", "msg": "never"}}).allow
}

test_content_is_not_asked_for_access_alone if {
	every purpose in ["inspect", "scan", "token"] {
		decide(object.union(pull(packs("deny")), {"purpose": purpose}), no).allow
	}
	every purpose in ["use", "evaluate", "audit", "nobody knows"] {
		not decide(object.union(pull(packs("deny")), {"purpose": purpose}), no).allow
	}
}

test_a_pack_that_is_not_loaded_denies if {
	doc := pull({"project": {"packs": [{"name": "gone", "mode": "deny", "config": {}}, {"name": "rbac", "mode": "deny", "config": {}}]}})
	decision := decide(doc, set())
	decision.deny[0].code == "bondgate.pack_missing"
	decision.deny[0].term == "gone"
}

# A project that names a pack which is not there would otherwise be beyond repair.
test_a_project_is_mended_by_whom_rbac_lets if {
	gone := [{"name": "gone", "mode": "deny", "config": {}}, {"name": "rbac", "mode": "deny", "config": {}}]
	call := fixtures.input_for("admin.api", {
		"subject": fixtures.subject("root", ["admin"]),
		"admin": {"resource": "project", "verb": "update", "id": "payments", "before": null, "after": null, "auto": null},
		"project": {"packs": gone},
	})
	decide(call, set()).allow
	decide(json.patch(call, [{"op": "replace", "path": "/subject/roles", "value": ["developer"]}]), set()).deny[0].code == "rbac.admin"
	decide(json.patch(call, [{"op": "replace", "path": "/admin/resource", "value": "waiver"}]), set()).deny[0].code == "bondgate.pack_missing"
	decide(json.patch(call, [{"op": "replace", "path": "/project/packs", "value": []}]), set()).deny[0].code == "bondgate.pack_missing"
	reading := fixtures.input_for("decision.read", {
		"subject": fixtures.subject("root", ["admin"]),
		"admin": {"before": {"subject": "bob", "issuer": "local"}}, "project": {"packs": gone},
	})
	decide(reading, set()).allow
}

test_rbac_is_missed_when_nobody_lists_it if {
	doc := pull({"project": {"packs": []}})
	decision := decide(doc, set())
	decision.deny[0].code == "bondgate.pack_missing"
}

test_an_input_without_packs_denies if not decide(object.remove(pull({}), ["project"]), set()).allow

test_a_fact_that_is_needed_and_not_known_denies if {
	needing := object.union(meta, {"needs": {"manifest.pull": {"vulnerabilities": ["mine"]}}})
	every facts in [{"status": "pending", "retry_after_s": 20}, {"status": "error"}, {"status": "unsupported"}, {"status": "absent"}, {}] {
		doc := object.union(pull(packs("deny")), {"artifact": {"vulnerabilities": facts}})
		decision := bondgate.decision with input as doc with data.bondgate.meta as needing
		decision.deny[0].code == "bondgate.fact_missing"
		decision.retry_after_s == object.get(facts, "retry_after_s", 0)
	}
}

test_a_fact_that_is_known_denies_nothing if {
	needing := object.union(meta, {"needs": {"manifest.pull": {"vulnerabilities": ["mine"]}}})
	doc := object.union(pull(packs("deny")), {"artifact": {"vulnerabilities": {"status": "ok"}}})
	decision := bondgate.decision with input as doc with data.bondgate.meta as needing
	decision.allow
}

test_no_evidence_is_an_answer if {
	needing := object.union(meta, {"needs": {"manifest.pull": {"signatures": ["mine"]}}})
	doc := object.union(pull(packs("deny")), {"artifact": {"signatures": {"status": "absent"}}})
	decision := bondgate.decision with input as doc with data.bondgate.meta as needing
	decision.allow
}

test_obligations_come_from_packs_in_force if {
	said := object.union(meta, {"speaks": {"obligation": {"*": {"mine": true}}}})
	every mode, count_of in {"deny": 1, "warn": 1, "dryrun": 0} {
		decision := bondgate.decision with input as pull(packs(mode))
			with data.bondgate.meta as said
			with data.bondgate.rules.mine.obligation as {{"type": "audit", "level": "full"}}
		count(decision.obligations) == count_of
	}
}

test_access_is_told_before_content if {
	doc := object.union(pull(packs("deny")), {"subject": fixtures.subject("x", [])})
	decision := bondgate.decision with input as doc
		with data.bondgate.meta as object.union(meta, {"speaks": {"deny": {"*": {"mine": true, "rbac": true}}}})
		with data.bondgate.rules.mine.deny as {{"code": "a.first", "msg": "a", "severity": "critical"}}
	[entry.pack | some entry in decision.deny] == ["rbac", "mine"]
}
