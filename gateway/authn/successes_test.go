package authn

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestSuccessesAreBounded(t *testing.T) {
	s := NewSuccesses[int](100, time.Minute)
	at := time.Now()
	for i := range 10_000 {
		var tag CredentialTag
		binary.BigEndian.PutUint64(tag[:], uint64(i))
		s.Put(tag, i, at)
	}
	kept := 0
	for i := range 10_000 {
		var tag CredentialTag
		binary.BigEndian.PutUint64(tag[:], uint64(i))
		if _, ok := s.Get(tag, at); ok {
			kept++
		}
	}
	if kept == 0 || kept > 100 {
		t.Fatalf("%d entries", kept)
	}
}

func TestASuccessHoldsForItsTimeAndNoLonger(t *testing.T) {
	s := NewSuccesses[string](10, time.Minute)
	at := time.Now()
	tag := s.Tag("default", "alice", "correct horse")
	s.Put(tag, "first", at)
	if v, ok := s.Get(tag, at.Add(59*time.Second)); !ok || v != "first" {
		t.Fatal("forgotten too early")
	}
	s.Amend(tag, "second")
	if v, ok := s.Get(tag, at.Add(59*time.Second)); !ok || v != "second" {
		t.Fatal("what was amended is not there")
	}
	if _, ok := s.Get(tag, at.Add(time.Minute)); ok {
		t.Fatal("held beyond its time, which amending must not begin anew")
	}
	s.Drop(tag)
	s.Amend(tag, "third")
	if _, ok := s.Get(tag, at); ok {
		t.Fatal("what was dropped is there")
	}
}

func TestTagsOfDifferentCredentialsDiffer(t *testing.T) {
	s := NewSuccesses[int](10, time.Minute)
	seen := map[CredentialTag][3]string{}
	for _, c := range [][3]string{
		{"default", "alice", "secret"}, {"default", "alices", "ecret"}, {"defaulta", "lice", "secret"},
		{"default", "alice", "secret\x00"}, {"", "defaultalice", "secret"}, {"default", "", "alicesecret"},
	} {
		tag := s.Tag(c[0], c[1], c[2])
		if other, there := seen[tag]; there {
			t.Fatalf("%q and %q have one tag", c, other)
		}
		seen[tag] = c
	}
	if s.Tag("a", "b", "c") == NewSuccesses[int](10, time.Minute).Tag("a", "b", "c") {
		t.Fatal("two memories have one key")
	}
}
