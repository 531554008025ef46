package harness

import "testing"

// A port of the range that outgoing connections use was free when it was picked
// and taken when slapd bound it, once in many runs.
func TestAFreePortIsNoneOfThoseThatOutgoingConnectionsTakeAndIsGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 500 {
		port := FreePort(t)
		if port < firstPort || port > lastPort || seen[port] {
			t.Fatalf("port %d: outside %d-%d or given before (%v)", port, firstPort, lastPort, seen[port])
		}
		seen[port] = true
	}
}
