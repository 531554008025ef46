package policy

import (
	"maps"
	"time"

	"github.com/opencontainers/go-digest"
)

// Transpose puts an input that was judged by one bundle before another: the modes
// that the other bundle gives to its packs beside the project's own, the waivers
// that stand in its files, its revision. All else is as it was. With the bundle
// that judged the input it is the input. The answer shares what did not change.
//
// Facts that nobody asked for then are not there now: a rule of the other bundle
// that needs one is answered by bondgate.fact_missing.
func Transpose(doc map[string]any, own []Pack, to Evaluator) map[string]any {
	out := maps.Clone(doc)
	out["bundle"] = map[string]any{"revision": to.Revision()}
	if project, ok := doc["project"].(map[string]any); ok {
		project = maps.Clone(project)
		project["packs"] = packsDoc(to.Packs(own))
		out["project"] = project
	}
	repository, ok := doc["repository"].(map[string]any)
	if !ok {
		return out
	}
	at := Repository{Workspace: text(doc["workspace"]), Name: text(repository["name"])}
	var d digest.Digest
	if artifact, ok := doc["artifact"].(map[string]any); ok {
		d = digest.Digest(text(artifact["digest"]))
	}
	out["waivers"] = transposedWaivers(doc, to.Waivers(at, d, momentOf(doc)))
	return out
}

// transposedWaivers are the recorded ones of the database and those of the other
// bundle, by id.
func transposedWaivers(doc map[string]any, own []Waiver) []any {
	recorded, _ := doc["waivers"].([]any)
	added := waiversDoc(own)
	out := make([]any, 0, len(recorded)+len(added))
	for _, w := range recorded {
		waiver, _ := w.(map[string]any)
		if waiver["origin"] == WaiverOfBundle {
			continue
		}
		for len(added) > 0 && text(added[0].(map[string]any)["id"]) < text(waiver["id"]) {
			out, added = append(out, added[0]), added[1:]
		}
		out = append(out, w)
	}
	return append(out, added...)
}

func momentOf(doc map[string]any) time.Time {
	clock, _ := doc["time"].(map[string]any)
	at, err := time.Parse(time.RFC3339, text(clock["rfc3339"]))
	if err != nil {
		return time.Time{}
	}
	return at
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
