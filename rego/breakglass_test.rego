package bondgate_test

import data.bondgate
import data.bondgate.lib.fixtures

glass := {"breakglass": {
	"grant": "bg-1", "justification": "rollback", "ticket": "INC-1", "expires": "2026-09-21T15:00:00Z", "approver": null,
}}

under_glass(doc) := object.union(doc, glass)

glass_meta := object.union(meta, {"rules": {
	"mine": {"mine.no": {"waivable": true, "severity": "low"}, "mine.hard": {"breakglass": false}},
	"rbac": {},
}})

smash(doc, deny) := decision if {
	decision := bondgate.decision with input as under_glass(doc)
		with data.bondgate.meta as glass_meta
		with data.bondgate.rules.mine.deny as deny
}

test_a_grant_lifts_what_content_denies if {
	decision := smash(pull(packs("deny")), {{"code": "mine.no", "msg": "no", "term": "t"}, {"code": "mine.too", "msg": "too"}})
	decision.allow
	decision.deny == []
	decision.breakglass == "bg-1"
	{lifted.waiver | some lifted in decision.waived} == {"bg-1"}
	{[lifted.code, lifted.term] | some lifted in decision.waived} == {["mine.no", "t"], ["mine.too", ""]}
	decision.obligations == [{"type": "audit", "level": "full"}]
	decision.warn[0].code == "bondgate.breakglass"
	decision.warn[0].msg == "glass is broken: bg-1 lifts 2 denials until 2026-09-21T15:00:00Z"
	decision.message == ""
}

test_glass_is_not_broken_for_nothing if {
	decision := smash(pull(packs("deny")), set())
	decision.allow
	decision.breakglass == ""
	decision.obligations == []
	warned := smash(pull(packs("warn")), no)
	warned.allow
	warned.breakglass == ""
	warned.waived == []
}

test_a_grant_gives_nobody_a_right if {
	decision := smash(object.union(pull(packs("deny")), {"subject": fixtures.subject("alice", [])}), no)
	not decision.allow
	decision.breakglass == ""
	decision.waived == []
	{reason.code | some reason in decision.deny} == {"rbac.right", "mine.no"}
}

test_a_rule_can_say_that_it_does_not_yield if {
	hard := smash(pull(packs("deny")), {{"code": "mine.hard", "msg": "no"}, {"code": "mine.no", "msg": "no"}})
	not hard.allow
	hard.breakglass == ""
	count(hard.deny) == 2
	not smash(pull(packs("deny")), {{"code": "mine.own", "msg": "no", "breakglass": false}}).allow
	smash(pull(packs("deny")), {{"code": "mine.own", "msg": "no", "breakglass": true}}).allow
}

test_a_rule_of_access_does_not_yield if {
	decision := bondgate.decision with input as under_glass(pull(packs("deny")))
		with data.bondgate.meta as object.union(glass_meta, {"packs": {"mine": {"class": "access"}}})
		with data.bondgate.rules.mine.deny as no
	not decision.allow
	decision.breakglass == ""
}

test_broken_rules_and_missing_packs_do_not_yield if {
	wrong := smash(pull(packs("deny")), {"text"})
	wrong.deny[0].code == "bondgate.policy_error"
	missing := bondgate.decision with input as under_glass(pull({"project": {"packs": [
		{"name": "rbac", "mode": "deny", "config": {}},
		{"name": "lost", "mode": "deny", "config": {}},
	]}}))
		with data.bondgate.meta as glass_meta
	missing.deny[0].code == "bondgate.pack_missing"
	claimed := smash(pull(packs("deny")), {{"code": "bondgate.policy_error", "msg": "claimed by an author"}})
	not claimed.allow
}

waiting(firm) := decision if {
	decision := bondgate.decision with input as under_glass(pull(packs("deny")))
		with data.bondgate.meta as object.union(glass_meta, {
			"needs": {"manifest.pull": {"sbom": ["mine"]}},
			"firm": firm,
		})
		with data.bondgate.rules.mine.deny as set()
}

test_a_fact_that_nobody_knows_yields_unless_a_rule_that_does_not_waits_for_it if {
	decision := waiting({})
	decision.allow
	decision.waived == [{"code": "bondgate.fact_missing", "term": "sbom", "waiver": "bg-1"}]
	waiting({"manifest.pull": {"sbom": ["another"]}}).allow
	not waiting({"manifest.pull": {"sbom": ["mine"]}}).allow
}

test_only_use_of_images_breaks_glass if {
	every purpose in ["inspect", "scan", "token", "audit", "evaluate", "unheard"] {
		smash(object.union(pull(packs("deny")), {"purpose": purpose}), no).breakglass == ""
	}
	every action in ["manifest.delete", "tag.delete", "admin.api", "tags.list"] {
		not smash(object.union(fixtures.input_for(action, {"artifact": fixtures.artifact, "subject": fixtures.subject("alice", ["admin"])}), packs("deny")), no).allow
	}
	every action in ["manifest.push", "blob.push", "upload.status", "upload.cancel"] {
		decision := smash(object.union(fixtures.input_for(action, {}), packs("deny")), no)
		decision.allow
		decision.breakglass == "bg-1"
	}
}

test_without_a_grant_nothing_is_lifted if {
	decision := decide(pull(packs("deny")), no)
	not decision.allow
	decision.breakglass == ""
}

test_a_waiver_comes_before_a_grant if {
	decision := smash(object.union(pull(packs("deny")), waiver("mine.no", [])), no)
	decision.allow
	decision.breakglass == ""
	decision.waived == [{"code": "mine.no", "term": "", "waiver": "W-1"}]
}
