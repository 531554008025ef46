package decisionlog

import (
	"encoding/binary"
	"slices"
)

// columns are what records are searched by: for each its order number, its facet
// (who, where, what and the answer, as one number) and its time. A block has
// those of its records, and a segment those of many blocks, so that a search of
// millions of records reads some hundred rows.
type columns struct {
	runs   []run
	facets []uint32
	times  []int64
}

// run is records whose order numbers follow each other.
type run struct{ n, count int64 }

func (c *columns) count() int { return len(c.facets) }

func (c *columns) first() int64 { return c.runs[0].n }

func (c *columns) last() int64 {
	r := c.runs[len(c.runs)-1]
	return r.n + r.count - 1
}

func (c *columns) add(other *columns) {
	for _, r := range other.runs {
		if k := len(c.runs); k > 0 && c.last()+1 == r.n {
			c.runs[k-1].count += r.count
		} else {
			c.runs = append(c.runs, r)
		}
	}
	c.facets = append(c.facets, other.facets...)
	c.times = append(c.times, other.times...)
}

// encode writes the columns as three texts: which facets there are, which record
// has which, and when. A search reads the first of most segments and no more.
func (c *columns) encode() (facets, places, times []byte) {
	distinct := slices.Clone(c.facets)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	facets = binary.AppendUvarint(facets, uint64(len(distinct)))
	from := uint32(0)
	for _, f := range distinct {
		facets = binary.AppendUvarint(facets, uint64(f-from))
		from = f
	}
	places = binary.AppendUvarint(places, uint64(len(c.runs)))
	at := int64(0)
	for _, r := range c.runs {
		places = binary.AppendUvarint(places, uint64(r.n-at))
		places = binary.AppendUvarint(places, uint64(r.count))
		at = r.n + r.count
	}
	for _, f := range c.facets {
		i, _ := slices.BinarySearch(distinct, f)
		if len(distinct) <= 1<<8 {
			places = append(places, byte(i))
		} else {
			places = binary.LittleEndian.AppendUint16(places, uint16(i))
		}
	}
	at = 0
	for _, t := range c.times {
		times = binary.AppendVarint(times, t-at)
		at = t
	}
	return facets, places, times
}

// decodeFacets reads the first of the texts.
func decodeFacets(text []byte) ([]uint32, error) {
	in := &cursor{rest: text}
	n := in.uvarint()
	if in.bad || n > 1<<16 || n > uint64(len(in.rest)) {
		return nil, errDamaged
	}
	all := make([]uint32, n)
	at := uint64(0)
	for i := range all {
		at += in.uvarint()
		all[i] = uint32(at)
	}
	if in.bad || len(in.rest) > 0 || at > 1<<31 {
		return nil, errDamaged
	}
	return all, nil
}

// placed is the second of the texts, taken apart: the facet of the i-th record is
// the one of the list that its place says.
type placed struct {
	runs  []run
	width int
	text  []byte
	count int
}

func decodePlaces(distinct int, places []byte) (*placed, error) {
	in := &cursor{rest: places}
	p := &placed{width: 1}
	k := in.uvarint()
	if in.bad || k > maxSegment {
		return nil, errDamaged
	}
	at, total := int64(0), int64(0)
	for range k {
		r := run{n: at + int64(in.uvarint()), count: int64(in.uvarint())}
		if in.bad || r.count < 1 || r.count > maxSegment || r.n < at {
			return nil, errDamaged
		}
		at = r.n + r.count
		total += r.count
		p.runs = append(p.runs, r)
	}
	if distinct > 1<<8 {
		p.width = 2
	}
	if total < 1 || total > maxSegment || len(in.rest) != int(total)*p.width {
		return nil, errDamaged
	}
	p.text, p.count = in.rest, int(total)
	return p, nil
}

func (p *placed) at(i int) int {
	if p.width == 1 {
		return int(p.text[i])
	}
	return int(p.text[2*i]) | int(p.text[2*i+1])<<8
}

func decodeTimes(count int, text []byte) ([]int64, error) {
	in := &cursor{rest: text}
	times := make([]int64, count)
	at := int64(0)
	for i := range times {
		at += in.varint()
		times[i] = at
	}
	if in.bad || len(in.rest) > 0 {
		return nil, errDamaged
	}
	return times, nil
}

// decodeColumns reads all three.
func decodeColumns(facets, places, times []byte) (*columns, error) {
	distinct, err := decodeFacets(facets)
	if err != nil {
		return nil, err
	}
	p, err := decodePlaces(len(distinct), places)
	if err != nil {
		return nil, err
	}
	c := &columns{runs: p.runs, facets: make([]uint32, p.count)}
	for i := range c.facets {
		k := p.at(i)
		if k >= len(distinct) {
			return nil, errDamaged
		}
		c.facets[i] = distinct[k]
	}
	c.times, err = decodeTimes(p.count, times)
	return c, err
}

// maxSegment is more records than any segment has.
const maxSegment = 1 << 16
