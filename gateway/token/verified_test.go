package token

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

func (v *verified) held() int { return len(v.now) + len(v.old) }

// numbered puts tokens of one length, each once, and answers the sum of the last.
func numbered(v *verified, from, n, length int) (last [sha256.Size]byte) {
	for i := from; i < from+n; i++ {
		last = sha256.Sum256(fmt.Append(nil, i))
		v.put(last, length, entry{revision: uint64(i)})
	}
	return last
}

func TestVerifiedTokensAreBoundedByWhatTheyTake(t *testing.T) {
	for _, c := range []struct {
		name         string
		length, most int
	}{
		{"short ones", 700, 632},
		{"of a hundred scopes", 16_000, 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVerified(1 << 20)
			last := numbered(v, 0, 5000, c.length)
			if n := v.held(); n < c.most/2 || n > c.most {
				t.Errorf("%d are held, and %d were expected", n, c.most)
			}
			if e, ok := v.get(last); !ok || e.revision != 4999 {
				t.Errorf("the last one is %+v, %v", e, ok)
			}
		})
	}
}

func TestAVerifiedTokenThatIsUsedStays(t *testing.T) {
	v := newVerified(1 << 20)
	used := numbered(v, 0, 1, 700)
	for i := 1; i < 5000; i++ {
		numbered(v, i, 1, 700)
		if _, ok := v.get(used); !ok {
			t.Fatalf("it went when %d others had come", i)
		}
	}
}

func TestATokenThatIsVerifiedTwiceWeighsOnce(t *testing.T) {
	v := newVerified(1 << 20)
	first := numbered(v, 0, 1, 700)
	for range 5000 {
		numbered(v, 1, 1, 700)
	}
	if _, ok := v.get(first); !ok || v.held() != 2 {
		t.Errorf("%d are held", v.held())
	}
}
