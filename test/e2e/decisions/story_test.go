package decisions

import (
	"strings"
	"testing"
)

// The people of the story. Bob pulls, Alice develops, Dora answers for the project
// team; Carol is nobody there.
const (
	alice = "alice"
	bob   = "bob"
	carol = "carol"
	dora  = "dora"
)

func TestTheStoryOfADecision(t *testing.T) {
	s := begin(t)
	s.push("team/app:1", "")         // runs as root
	s.push("team/app:fixed", "1000") // does not

	// Bob is denied, and reads why in docker itself.
	denied := s.as(bob).fails(`docker pull $HOST/team/app:1`)
	wants(t, denied, "[house.no_root]", "runs as root", "Fix: Add USER 1000")
	s.remember("ID", denied, `/d/([0-9A-Za-z_-]+)`)

	// The link says all of it: to Bob, and to nobody else who has no business there.
	told := s.as(bob).runs(`curl -sS -u bob:$PASSWORD http://$HOST/d/$ID`)
	wants(t, told, "house.no_root", "no_root.rego", "artifact.config.user", "bondgate waiver request house.no_root")
	wants(t, s.as(carol).runs(`curl -sS -o /dev/null -w '%{http_code}' -u carol:$PASSWORD http://$HOST/d/$ID`), "404")

	// Alice asks for a waiver. She cannot give it to herself.
	s.as(alice).runs(`bondgate waiver request house.no_root --id W-2026-014 --project team --expires 20s --ticket SEC-412 --reason "vendor image, fixed in the next release"`)
	wants(t, s.as(bob).fails(`docker pull $HOST/team/app:1`), "[house.no_root]")
	wants(t, s.as(alice).fails(`bondgate waiver approve W-2026-014`), "alice")

	// Dora does. The pull passes, and its record names the waiver.
	wants(t, s.as(dora).runs(`bondgate waiver list --project team --state pending`), "W-2026-014")
	wants(t, s.as(dora).runs(`bondgate waiver show W-2026-014`), "SEC-412", "vendor image", "alice")
	s.as(dora).runs(`bondgate waiver approve W-2026-014`)
	s.as(bob).runs(`docker pull $HOST/team/app:1`)
	s.eventually("the allow is on record with its waiver", dora, `bondgate decisions list --project team --rule house.no_root --since 1h`, "W-2026-014")

	// It ends by itself.
	s.eventuallyFails("the waiver has expired", bob, `docker pull $HOST/team/app:1`, "[house.no_root]")
	wants(t, s.as(dora).runs(`bondgate waiver list --project team --state expired`), "W-2026-014")

	// What would a stricter rule have done in the last hour? Nothing is deployed for that.
	s.as(bob).runs(`docker pull $HOST/team/app:fixed`)
	s.write("stricter/no_root.rego", noRoot)
	s.write("stricter/source.rego", source)
	wants(t, s.as(dora).runs(`bondgate policy diff rules stricter || true`), "house.source")
	wants(t, s.as(dora).runs(`bondgate policy replay --since 1h --project team --bundle rules`), "nothing changes")
	wants(t, s.as(dora).fails(`bondgate policy replay --since 1h --project team --bundle stricter`), "house.source", "team/app")
	wants(t, s.as(dora).fails(`bondgate policy audit --project team --bundle stricter`), "house.source", "team/app")

	// It runs beside the live rules for a while, and changes nothing.
	s.operator().runs(`cp stricter/source.rego shadow/`)
	s.operator().runs(`bondgate policy shadow reset`)
	s.until("the shadow differs", func() string {
		s.as(bob).runs(`docker pull $HOST/team/app:fixed`)
		return s.operator().runs(`bondgate policy shadow status`)
	}, "house.source")

	// And is enforced.
	s.operator().runs(`cp stricter/source.rego rules/`)
	last := s.eventuallyFails("the stricter rule holds", bob, `docker pull $HOST/team/app:fixed`, "[house.source]")
	s.remember("ID", last, `/d/([0-9A-Za-z_-]+)`)
	wants(t, s.as(dora).runs(`bondgate policy explain $ID`), "source.rego", "org.opencontainers.image.source")

	// Nothing of all this was changed, removed or added afterwards.
	wants(t, s.operator().runs(`bondgate decisions verify`), "intact")
	s.operator().runs(`bondgate decisions export --since 1h -o decisions.ndjson`)
	wants(t, s.operator().runs(`bondgate policy replay --from decisions.ndjson --bundle rules || true`), "house.source")

	s.isToldIn("docs/decisions.md")
}

// noRoot and source are the two rules of the story.
const noRoot = `package bondgate.rules.house

import data.bondgate.lib.image

# METADATA
# title: No image runs as root
# description: A process that breaks out of a container as root is root on the node.
# custom:
#   code: house.no_root
#   severity: high
#   owner: sec@example.com
#   remediation: Add USER 1000 to the Dockerfile, build, and push to the same tag
deny contains {"code": "house.no_root", "msg": "the image runs as root"} if {
	input.action == "manifest.pull"
	image.runnable
	image.runs_as_root
}
`

const source = `package bondgate.rules.house

# METADATA
# title: Every image names its source
# custom:
#   code: house.source
#   severity: medium
#   remediation: Set the label org.opencontainers.image.source
deny contains {"code": "house.source", "msg": "the image does not say where its source is"} if {
	input.action == "manifest.pull"
	input.artifact.kind == "image"
	not input.artifact.config.labels["org.opencontainers.image.source"]
}
`

// governance makes two people out of one request: what the pack demands of waivers.
const governance = `{"bondgate": {"packs": {"governance": {"mode": "deny", "config": {"second_person": true, "max_days": 90}}}}}`

func wants(t testing.TB, said string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q; it said:\n%s", want, said)
		}
	}
}
