package oci

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// Pushes and deletes of the same few tags and manifests at once leave the index
// and the engine with the same tags, and every tag on a manifest that is there.
func TestWritesAtOnceLeaveOneOrder(t *testing.T) {
	b := newBench(t, Limits{})
	b.gate = gateFunc(func(policy.Request) (policy.Decision, error) { return yes, nil })
	config := b.blob("p/a", `{}`)
	config.MediaType = configType
	bodies := make([]string, 3)
	for i := range bodies {
		bodies[i] = manifestOf(config, fmt.Sprintf(`,"annotations":{"n":"%d"}`, i))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				tag := fmt.Sprintf("/v2/p/a/manifests/t%d", rand.IntN(3))
				body := bodies[rand.IntN(len(bodies))]
				var got answer
				switch rand.IntN(4) {
				case 0:
					got = b.do(alice, "DELETE", tag, nothing())
				case 1:
					got = b.do(alice, "DELETE", "/v2/p/a/manifests/"+string(digest.FromString(body)), nothing())
				default:
					got = b.do(alice, "PUT", tag, strings.NewReader(body))
				}
				if got.Code >= 500 {
					t.Errorf("%d %s", got.Code, got.Body)
				}
			}
		})
	}
	wg.Wait()
	if !maps.Equal(b.tags, b.tagLinks) {
		t.Errorf("the index has %v, the engine %v", b.tags, b.tagLinks)
	}
	for tag, d := range b.tags {
		if b.artifacts[at(policy.Repository{Name: "p/a"}, d)] == nil || !b.manifests[at(policy.Repository{Name: "p/a"}, d)] {
			t.Errorf("%s is on %s, which is not there", tag, d)
		}
	}
}
