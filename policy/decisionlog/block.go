package decisionlog

import "encoding/binary"

// A block is some records of one writer that follow each other, packed together:
// a batch of the flusher, or several that were put together later. Bodies and
// inputs are packed apart, in frames, because most readers want bodies alone.
//
//	bodies: frame*   frame: count, 32 bytes of hash, size, packed size, packed
//	inputs: frame*   frame: count, size, packed size, packed
//	unpacked: (length, text)*
//
// The hash of a frame is that of the record before its first: the chain can be
// followed from any frame, and a change is found to be in one.

// packBodies packs the bodies of rows that begin after prev.
func (c *codec) packBodies(prev hash, rows []row) []byte {
	var out, raw []byte
	for len(rows) > 0 {
		raw = raw[:0]
		n := 0
		for n < len(rows) && n < frameRecords && (n == 0 || len(raw) < frameSize) {
			raw = append(binary.AppendUvarint(raw, uint64(len(rows[n].body))), rows[n].body...)
			n++
		}
		out = append(binary.AppendUvarint(out, uint64(n)), prev[:]...)
		out = c.pack(out, raw)
		prev, rows = rows[n-1].hash, rows[n:]
	}
	return out
}

func (c *codec) packInputs(rows []row) []byte {
	var out, raw []byte
	for len(rows) > 0 {
		raw = raw[:0]
		n := 0
		for n < len(rows) && n < frameInputs && (n == 0 || len(raw)+len(rows[n].input) < frameSize) {
			raw = append(binary.AppendUvarint(raw, uint64(len(rows[n].input))), rows[n].input...)
			n++
		}
		out = c.pack(binary.AppendUvarint(out, uint64(n)), raw)
		rows = rows[n:]
	}
	return out
}

// block is a stored block as it is read.
type block struct {
	n, seq, count  int64
	writer         string
	last           hash
	bodies, inputs []byte
}

// frame is a part of a block: the records from its first on, counted in the block.
type frame struct {
	first int64
	prev  hash
	texts [][]byte
}

// frames unpacks the frames that hold a record that is wanted.
func (c *codec) frames(stored []byte, chained bool, count int64, wanted func(first, n int64) bool) ([]frame, error) {
	in := &cursor{rest: stored}
	var all []frame
	first := int64(0)
	for len(in.rest) > 0 {
		n := int64(in.uvarint())
		f := frame{first: first}
		if chained {
			copy(f.prev[:], in.bytes(uint64(len(f.prev))))
		}
		if in.bad || n < 1 || n > count-first {
			return all, errDamaged
		}
		first += n
		if !wanted(f.first, n) {
			size, length := in.uvarint(), in.uvarint()
			if length == 0 {
				length = size
			}
			if in.bytes(length); in.bad {
				return all, errDamaged
			}
			continue
		}
		raw, err := c.unpack(in)
		if err != nil {
			return all, err
		}
		texts := &cursor{rest: raw}
		f.texts = make([][]byte, n)
		for i := range f.texts {
			f.texts[i] = texts.bytes(texts.uvarint())
		}
		if texts.bad || len(texts.rest) > 0 {
			return all, errDamaged
		}
		all = append(all, f)
	}
	if first != count {
		return all, errDamaged
	}
	return all, nil
}

func every(int64, int64) bool { return true }

// spoilt stands for an input that cannot be unpacked: it is no JSON.
var spoilt = []byte("spoilt")

// rows unpacks the records with the given order numbers, which rise. One that
// cannot be unpacked has no body.
func (c *codec) rows(b *block, day string, ns []int64, inputs bool) []row {
	wanted := func(first, n int64) bool {
		for _, at := range ns {
			if i := at - b.n; i >= first && i < first+n {
				return true
			}
		}
		return false
	}
	found := make(map[int64]*row, len(ns))
	out := make([]row, len(ns))
	for i, n := range ns {
		out[i] = row{n: n, writer: b.writer, seq: b.seq + n - b.n, day: day}
		found[n] = &out[i]
	}
	frames, _ := c.frames(b.bodies, true, b.count, wanted)
	for _, f := range frames {
		at := f.prev
		for i, body := range f.texts {
			at = chain(at, body)
			if r := found[b.n+f.first+int64(i)]; r != nil {
				r.hash, r.body = at, body
			}
		}
	}
	if !inputs {
		return out
	}
	for _, r := range found {
		r.input = spoilt
	}
	frames, _ = c.frames(b.inputs, false, b.count, wanted)
	for _, f := range frames {
		for i, input := range f.texts {
			if r := found[b.n+f.first+int64(i)]; r != nil {
				r.input = input
			}
		}
	}
	return out
}
