package decisionlog

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/bondgate/bondgate/policy"
)

const (
	// maxRaw bounds what one frame may be when it is unpacked, so that a file that
	// somebody meddled with costs no more memory than that.
	maxRaw = 128 << 20
	// maxInput is the largest input that is kept; no document comes near it,
	// because what is large in one is a fact.
	maxInput = 64 << 20
	// A frame of records ends after so many records, one of inputs after so many,
	// and both after so many bytes: whoever wants one record unpacks one frame.
	frameRecords = 128
	frameInputs  = 500
	frameSize    = 4 << 20
	// packedFrom is the size from which a text is packed.
	packedFrom = 32 << 10
)

// codec packs and unpacks; many may use it at once.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(4), zstd.WithDecoderMaxMemory(maxRaw),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("decision log: %w", err)
	}
	return &codec{enc, dec}, nil
}

func (c *codec) close() {
	_ = c.enc.Close() // it writes nowhere
	c.dec.Close()
}

// pack appends a text with its length before and after it was packed. What is
// short stays as it is, with a packed length of 0: a record alone packs badly, its
// writer waits for it, and it is soon put together with others.
func (c *codec) pack(out, text []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(text)))
	if len(text) < packedFrom {
		return append(append(out, 0), text...)
	}
	// The packed length goes before what is packed, in as many bytes as it may need.
	at := len(out)
	out = append(out, make([]byte, lengthSize)...)
	out = c.enc.EncodeAll(text, out)
	putLength(out[at:at+lengthSize], len(out)-at-lengthSize)
	return out
}

// lengthSize is the bytes of a packed length; four hold what maxRaw can become.
const lengthSize = 4

// putLength writes a number in all of the bytes that it is given, as a varint.
func putLength(b []byte, n int) {
	for i := range b {
		b[i] = byte(n>>(7*i)) | 0x80
	}
	b[len(b)-1] &= 0x7f
}

// errDamaged is a stored text that nobody of ours wrote.
var errDamaged = fmt.Errorf("damaged: %w", policy.ErrInvalid)

// unpack reads what pack appended.
func (c *codec) unpack(in *cursor) ([]byte, error) {
	size, length := in.uvarint(), in.uvarint()
	if length == 0 {
		text := in.bytes(size)
		if in.bad {
			return nil, errDamaged
		}
		return text, nil
	}
	packed := in.bytes(length)
	if in.bad || size > maxRaw {
		return nil, errDamaged
	}
	text, err := c.dec.DecodeAll(packed, make([]byte, 0, size))
	if err != nil || uint64(len(text)) != size {
		return nil, errDamaged
	}
	return text, nil
}

// cursor reads what was written with binary.Append…; after the first thing that
// does not fit it is bad and reads zeros.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.bad, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.bad, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}
