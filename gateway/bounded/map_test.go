package bounded_test

import (
	"testing"

	"github.com/bondgate/bondgate/gateway/bounded"
)

func TestAFloodOfKeysIsForgottenAndWhatIsUsedIsNot(t *testing.T) {
	m := bounded.New[int, string](100)
	m.Put(-1, "used")
	m.Put(-2, "seen")
	m.Put(-3, "dropped")
	m.Drop(-3)
	for i := range 1000 {
		m.Put(i, "flood")
		if _, ok := m.Use(-1); !ok {
			t.Fatalf("what is used was forgotten after %d", i)
		}
		m.Peek(-2)
	}
	if _, ok := m.Peek(-2); ok {
		t.Error("what was only looked at outlived the flood")
	}
	if _, ok := m.Peek(-3); ok {
		t.Error("what was dropped is there")
	}
	kept := 0
	for i := range 1000 {
		if v, ok := m.Peek(i); ok && v == "flood" {
			kept++
		}
	}
	if kept == 0 || kept > 100 {
		t.Errorf("%d of the flood are kept", kept)
	}
}

func TestTheLastWordCounts(t *testing.T) {
	m := bounded.New[string, int](2) // a generation of one
	m.Put("a", 1)
	m.Put("b", 1)
	m.Put("a", 2) // from the older generation into the newer
	if v, ok := m.Peek("a"); !ok || v != 2 {
		t.Fatal(v, ok)
	}
}
