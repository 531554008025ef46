package local

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/bondgate/bondgate/policy"
)

// What new passwords are hashed with: OWASP's second choice for argon2id.
const (
	memoryKiB  = 19 << 10
	iterations = 2
	lanes      = 1
	saltBytes  = 16
	sumBytes   = 32
)

// Upper bounds on the parameters of a stored hash: a row that somebody wrote by
// other means must not be able to stop the server.
const (
	maxMemoryKiB  = 256 << 10
	maxIterations = 16
	maxLanes      = 4
	maxBytes      = 64
	maxStored     = 512
)

// MinPassword is the shortest password that [Check] lets pass, in characters.
const MinPassword = 8

// GeneratedPassword is the length of what [Generate] makes, in characters.
const GeneratedPassword = 24

// Check refuses a new password that is too short, longer than a client could
// ever send, or has characters that no client could send. The error is
// [policy.ErrInvalid] and its text may be shown.
func Check(password string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return fmt.Errorf("a password is UTF-8 without control characters: %w", policy.ErrInvalid)
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("a password has at least %d characters: %w", MinPassword, policy.ErrInvalid)
	case len(password) > MaxPassword:
		return fmt.Errorf("a password has at most %d bytes: %w", MaxPassword, policy.ErrInvalid)
	}
	return nil
}

// Generate makes a random password of 24 letters and digits without those that
// look alike: 140 bits.
func Generate() string {
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
	out := make([]byte, 0, GeneratedPassword)
	buf := make([]byte, 2*GeneratedPassword)
	for len(out) < GeneratedPassword {
		_, _ = rand.Read(buf) // never fails: crypto/rand stops the program instead
		for _, b := range buf {
			// Bytes beyond the last whole multiple would favour the first letters.
			if int(b) < 256/len(alphabet)*len(alphabet) && len(out) < GeneratedPassword {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Hash makes the PHC string that is stored for a password that passes [Check].
func Hash(password string) (string, error) {
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	return encode(phc{
		memory: memoryKiB, iterations: iterations, lanes: lanes, salt: salt,
		sum: argon2.IDKey([]byte(password), salt, iterations, memoryKiB, lanes, sumBytes),
	}), nil
}

// phc is a stored hash, taken apart.
type phc struct {
	memory, iterations uint32
	lanes              uint8
	salt, sum          []byte
}

func encode(h phc) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.iterations, h.lanes,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.sum))
}

var errStored = errors.New("the stored hash is not an argon2id hash within the limits")

// parse reads a PHC string of argon2id, and refuses parameters beyond the bounds.
func parse(stored string) (phc, error) {
	if len(stored) > maxStored {
		return phc{}, errStored
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errStored
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return phc{}, errStored
	}
	m, err1 := number(params[0], "m=", maxMemoryKiB)
	t, err2 := number(params[1], "t=", maxIterations)
	p, err3 := number(params[2], "p=", maxLanes)
	salt, err4 := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, err5 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return phc{}, fmt.Errorf("%w: %w", errStored, err)
	}
	// A short sum would be met by chance.
	if len(salt) < 8 || len(salt) > maxBytes || len(sum) < 16 || len(sum) > maxBytes {
		return phc{}, errStored
	}
	return phc{memory: m, iterations: t, lanes: uint8(p), salt: salt, sum: sum}, nil
}

func number(s, prefix string, limit uint64) (uint32, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return 0, errStored
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || n > limit {
		return 0, errStored
	}
	return uint32(n), nil
}

// matches does the work of the stored parameters and compares in constant time.
func (h phc) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.iterations, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}
