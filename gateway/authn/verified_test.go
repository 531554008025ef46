package authn

import (
	"fmt"
	"testing"
	"time"
)

func (v *Verified[V]) held() int { return len(v.now) + len(v.old) }

var noon = time.Date(2026, 9, 21, 12, 0, 0, 0, time.UTC)

// numbered puts tokens of one length, each once, and answers the last.
func numbered(v *Verified[int], from, n, length int) (last string) {
	for i := from; i < from+n; i++ {
		last = fmt.Sprintf("%0*d", length, i)
		v.Put(last, i, 1, noon.Add(time.Hour))
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
			v := NewVerified[int](1 << 20)
			last := numbered(v, 0, 5000, c.length)
			if n := v.held(); n < c.most/2 || n > c.most {
				t.Errorf("%d are held, and %d were expected", n, c.most)
			}
			if got, ok := v.Get(last, 1, noon); !ok || got != 4999 {
				t.Errorf("the last one is %d, %v", got, ok)
			}
		})
	}
}

func TestAVerifiedTokenThatIsUsedStays(t *testing.T) {
	v := NewVerified[int](1 << 20)
	used := numbered(v, 0, 1, 700)
	for i := 1; i < 5000; i++ {
		numbered(v, i, 1, 700)
		if _, ok := v.Get(used, 1, noon); !ok {
			t.Fatalf("it went when %d others had come", i)
		}
	}
}

func TestATokenThatIsVerifiedTwiceWeighsOnce(t *testing.T) {
	v := NewVerified[int](1 << 20)
	first := numbered(v, 0, 1, 700)
	for range 5000 {
		numbered(v, 1, 1, 700)
	}
	if _, ok := v.Get(first, 1, noon); !ok || v.held() != 2 {
		t.Errorf("%d are held", v.held())
	}
}

func TestATokenIsRememberedForItsTimeAndItsKeys(t *testing.T) {
	v := NewVerified[int](1 << 20)
	raw := numbered(v, 7, 1, 700)
	for _, c := range []struct {
		name     string
		raw      string
		revision uint64
		at       time.Time
		ok       bool
	}{
		{"as it was put", raw, 1, noon, true},
		{"with other keys", raw, 2, noon, false},
		{"when it has expired", raw, 1, noon.Add(time.Hour), false},
		{"another token", raw[:len(raw)-1] + "8", 1, noon, false},
		{"a longer one", raw + "7", 1, noon, false},
	} {
		if got, ok := v.Get(c.raw, c.revision, c.at); ok != c.ok || (got == 7) != c.ok {
			t.Errorf("%s: %d, %v", c.name, got, ok)
		}
	}
}
