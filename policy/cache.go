package policy

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// generation is the part of the decision cache that holds for one bundle, one
// revision of the directory and one second. It is dropped whole: nothing in it
// can outlive any of the three.
type generation struct {
	evaluator Evaluator
	revision  int64
	second    int64
	reads     map[Action]field

	size   atomic.Int64
	shards [shardCount]shard
}

const (
	shardCount = 64
	// maxEntries bounds a generation, which lives for a second at most. A
	// request beyond it is decided and not kept.
	maxEntries = 200_000
)

type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
}

// entry is one answer and the record that counts how often it was given.
type entry struct {
	decision Decision
	record   *Record
	repeats  atomic.Pointer[Record]
	reopen   sync.Mutex
}

var keySeed = maphash.MakeSeed()

func newGeneration(ev Evaluator, revision, second int64, previous *generation) *generation {
	g := &generation{evaluator: ev, revision: revision, second: second}
	if previous != nil && previous.evaluator == ev {
		g.reads = previous.reads
		return g
	}
	g.reads = make(map[Action]field)
	for _, a := range Actions() {
		g.reads[a] = readable(ev.Reads(a))
	}
	return g
}

// fields are the optional fields that matter for an action; all of them for an
// action that nobody listed.
func (g *generation) fields(a Action) field {
	if f, ok := g.reads[a]; ok {
		return f
	}
	return allFields
}

func (g *generation) lookup(key []byte) *entry {
	s := &g.shards[maphash.Bytes(keySeed, key)%shardCount]
	s.mu.RLock()
	e := s.entries[string(key)]
	s.mu.RUnlock()
	return e
}

// insert keeps e unless another request was faster; it answers what is kept.
func (g *generation) insert(key []byte, e *entry) *entry {
	if g.size.Load() >= maxEntries {
		return e
	}
	s := &g.shards[maphash.Bytes(keySeed, key)%shardCount]
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.entries[string(key)]; there != nil {
		return there
	}
	if s.entries == nil {
		s.entries = make(map[string]*entry)
	}
	s.entries[string(key)] = e
	g.size.Add(1)
	return e
}

// count adds one request to the entry's open record. A record that was closed
// meanwhile is followed by a new one, which says whose repeats it counts.
func (e *entry) count(recorder Recorder, newID func() string) error {
	if e.record.Hit() {
		return nil
	}
	if r := e.repeats.Load(); r != nil && r.Hit() {
		return nil
	}
	e.reopen.Lock()
	defer e.reopen.Unlock()
	if r := e.repeats.Load(); r != nil && r.Hit() {
		return nil
	}
	r := e.record.follow(newID())
	r.Hit()
	if err := recorder.Open(r); err != nil {
		return err
	}
	e.repeats.Store(r)
	return nil
}

// follow makes the record that counts the repeats of a closed one.
func (r *Record) follow(id string) *Record {
	return &Record{
		ID: id, Repeats: r.ID, At: r.At, RequestID: r.RequestID, Workspace: r.Workspace,
		Action: r.Action, Purpose: r.Purpose, Subject: r.Subject, Issuer: r.Issuer, Project: r.Project,
		Repository: r.Repository, Reference: r.Reference, Digest: r.Digest,
		Decision: r.Decision, Packs: r.Packs, Reads: r.Reads, Outage: r.Outage, Input: r.Input,
	}
}
