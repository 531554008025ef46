package policy

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// crockford is the alphabet of ULIDs: no letters that a person confuses when a
// decision id is read out over the telephone.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newDecisionID makes a ULID: 48 bits of milliseconds, then 80 random bits, so
// that ids sort by time and nobody guesses another's.
func newDecisionID() string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(raw[6:]) // never fails: crypto/rand.Read
	hi, lo := binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	var out [26]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}
