package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// What machine-made secrets begin with. The prefix says what a secret is for, to
// us and to whoever searches a leaked file for secrets.
const (
	PrefixAccessToken = "bgp_"
	PrefixRobot       = "bgr_"
)

const (
	secretAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// 43 characters of 62 are 256 bits; six more check them for typing errors.
	secretRandom, secretCheck = 43, 6
)

// NewSecret makes a secret with prefix, and the hash to keep of it. What it has
// of chance (256 bits) cannot be guessed, so a fast hash keeps it.
func NewSecret(prefix string) (raw string, hash []byte) {
	b := make([]byte, 0, len(prefix)+secretRandom+secretCheck)
	b = append(b, prefix...)
	var chance [64]byte
	for len(b) < len(prefix)+secretRandom {
		_, _ = rand.Read(chance[:]) // never fails
		for _, c := range chance {
			// Bytes beyond the last whole multiple would prefer some letters.
			if c < 248 && len(b) < len(prefix)+secretRandom {
				b = append(b, secretAlphabet[c%62])
			}
		}
	}
	b = append(b, checksum(b)...)
	return string(b), HashSecret(string(b))
}

// HashSecret is what is kept of a secret.
func HashSecret(raw string) []byte {
	sum := sha256.Sum256([]byte(raw))
	return sum[:]
}

// IsSecret reports whether raw has the prefix, the length and the checksum of a
// secret that we made: whether it exists is not asked.
func IsSecret(prefix, raw string) bool {
	if !strings.HasPrefix(raw, prefix) || len(raw) != len(prefix)+secretRandom+secretCheck {
		return false
	}
	end := len(raw) - secretCheck
	return raw[end:] == string(checksum([]byte(raw[:end])))
}

func checksum(b []byte) []byte {
	sum := crc32.ChecksumIEEE(b)
	out := make([]byte, secretCheck)
	for i := secretCheck - 1; i >= 0; i-- {
		out[i] = secretAlphabet[sum%62]
		sum /= 62
	}
	return out
}
