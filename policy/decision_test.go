package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

func TestAVerdictIsAWordInJSONAndWhatIsNoneDenies(t *testing.T) {
	for verdict, word := range map[policy.Verdict]string{policy.Allow: `"allow"`, policy.Deny: `"deny"`} {
		raw, err := json.Marshal(verdict)
		if err != nil || string(raw) != word {
			t.Errorf("%v is written %s, %v", verdict, raw, err)
		}
		again := policy.Allow
		if err := json.Unmarshal([]byte(word), &again); err != nil || again != verdict {
			t.Errorf("%s is read as %v, %v", word, again, err)
		}
	}
	for _, wrong := range []string{`"maybe"`, `""`, `1`} {
		v := policy.Allow
		if err := json.Unmarshal([]byte(wrong), &v); err == nil {
			t.Errorf("%s is read as %v", wrong, v)
		}
	}
}
