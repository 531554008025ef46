package decisionlog

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// facet is what records are found by, apart from their time.
type facet [facetParts]string

// The parts of a facet.
const (
	partWorkspace = iota
	partProject
	partSubject
	partIssuer
	partAction
	partVerdict
	partRules // codes, sorted, each with a line's end after it
	facetParts
)

func facetOf(r *row) facet {
	return facet{
		partWorkspace: r.workspace, partProject: r.project, partSubject: r.subject, partIssuer: r.issuer,
		partAction: r.action, partVerdict: r.verdict, partRules: rulesText(r.rules),
	}
}

func rulesText(codes []string) string {
	if len(codes) == 0 {
		return ""
	}
	return strings.Join(codes, "\n") + "\n"
}

// The facets of a writer's day are one stream of bytes in which each facet has the
// number of its place. A part that was named before is a reference:
//
//	facet: part{7}   part: (number of the word + 1) | 0, length, text
//
// so the stream of a day is short, and is read from its beginning.

// naming is a writer's side of a stream: it gives numbers to facets.
type naming struct {
	facets map[facet]uint32
	words  map[string]uint32
	// How many there are in the stream; what is forgotten is written again.
	facetCount, wordCount uint32
}

// maxNamed bounds the memory of a naming: whoever asks for ever new names of
// projects would fill it.
const maxNamed = 100_000

func newNaming() *naming {
	return &naming{facets: map[facet]uint32{}, words: map[string]uint32{}}
}

// number answers a facet's number and appends to the stream what it did not have.
func (s *naming) number(f facet, stream []byte) (uint32, []byte) {
	if n, ok := s.facets[f]; ok {
		return n, stream
	}
	if len(s.facets) >= maxNamed {
		clear(s.facets)
	}
	if len(s.words) >= maxNamed {
		clear(s.words)
	}
	for _, word := range f {
		if n, ok := s.words[word]; ok {
			stream = binary.AppendUvarint(stream, uint64(n)+1)
			continue
		}
		stream = append(stream, 0)
		stream = append(binary.AppendUvarint(stream, uint64(len(word))), word...)
		s.words[word] = s.wordCount
		s.wordCount++
	}
	n := s.facetCount
	s.facets[f] = n
	s.facetCount++
	return n, stream
}

// names reads a stream, in pieces that each hold whole facets.
type names struct {
	words            []string // of a reader that keeps them
	wordCount, count uint32
}

// read calls do with the words' numbers of each facet of the next piece, and word
// with each new word before that.
func (s *names) read(piece []byte, word func(text []byte), do func(n uint32, parts *[facetParts]uint32)) error {
	in := &cursor{rest: piece}
	for len(in.rest) > 0 {
		var parts [facetParts]uint32
		for i := range parts {
			n := in.uvarint()
			if n == 0 {
				word(in.bytes(in.uvarint()))
				s.wordCount++
				n = uint64(s.wordCount)
			}
			if in.bad || n > uint64(s.wordCount) {
				return errDamaged
			}
			parts[i] = uint32(n - 1)
		}
		do(s.count, &parts)
		s.count++
	}
	return nil
}

func (s *names) keep(text []byte) { s.words = append(s.words, string(text)) }

func (s *names) facet(parts *[facetParts]uint32) (f facet) {
	for i, n := range parts {
		f[i] = s.words[n]
	}
	return f
}

// match is the facets that a search is for, one bit each.
type match struct {
	bits  []uint64
	count int
	all   int
}

func (m *match) has(n uint32) bool {
	i := int(n / 64)
	return i < len(m.bits) && m.bits[i]&(1<<(n%64)) != 0
}

// matcher finds the facets of a stream that a search is for. It holds a byte for
// each word and a bit for each facet.
type matcher struct {
	sought [facetParts]string
	stream names
	words  []uint8 // bit i: it is what is sought as part i
	match
}

func newMatcher(s search) *matcher {
	return &matcher{sought: facet{
		partWorkspace: s.workspace, partProject: s.project, partSubject: s.subject, partIssuer: s.issuer,
		partAction: s.action, partVerdict: s.verdict, partRules: s.rule,
	}}
}

func (m *matcher) read(piece []byte) error {
	return m.stream.read(piece, func(text []byte) { m.words = append(m.words, m.fits(text)) }, func(n uint32, parts *[facetParts]uint32) {
		m.all++
		for int(n/64) >= len(m.bits) {
			m.bits = append(m.bits, 0)
		}
		for i, word := range parts {
			if m.words[word]&(1<<i) == 0 {
				return
			}
		}
		m.bits[n/64] |= 1 << (n % 64)
		m.count++
	})
}

func (m *matcher) fits(text []byte) (bits uint8) {
	for i, sought := range m.sought {
		ok := sought == "" || sought == string(text)
		if i == partRules && sought != "" {
			ok = hasCode(text, sought)
		}
		if ok {
			bits |= 1 << i
		}
	}
	return bits
}

// hasCode reports whether a code is among those of a text.
func hasCode(codes []byte, sought string) bool {
	for len(codes) > 0 {
		code, rest, ended := bytes.Cut(codes, []byte{'\n'})
		if ended && string(code) == sought {
			return true
		}
		codes = rest
	}
	return false
}
