package ociroute

import "strings"

// maxName and maxTag are the longest names that clients can use.
const (
	maxName   = 255
	maxTag    = 128
	maxUpload = 128
)

// ValidName reports whether s is a repository's name:
// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*, 255
// characters at most.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := 0; ; {
		// One run of letters and digits, at least one.
		start := i
		for i < len(s) && alphanumeric(s[i]) {
			i++
		}
		if i == start {
			return false
		}
		if i == len(s) {
			return true
		}
		switch s[i] {
		case '/', '.':
			i++
		case '_':
			i++
			if i < len(s) && s[i] == '_' {
				i++
			}
		case '-':
			for i < len(s) && s[i] == '-' {
				i++
			}
		default:
			return false
		}
	}
}

func alphanumeric(c byte) bool { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') }

// ValidTag reports whether s is a tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func ValidTag(s string) bool {
	if s == "" || len(s) > maxTag {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case alphanumeric(c), c >= 'A' && c <= 'Z', c == '_':
		case c == '.' || c == '-':
			if i == 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// ValidDigest reports whether s is a digest of an algorithm that is served:
// sha256 or sha512, in lower case, with the right number of digits.
func ValidDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	size := 64
	if !ok {
		hex, ok = strings.CutPrefix(s, "sha512:")
		size = 128
	}
	if !ok || len(hex) != size {
		return false
	}
	for i := range len(hex) {
		c := hex[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ValidUpload reports whether s can be an upload's id: letters, digits, '-' and
// '_', 128 characters at most.
func ValidUpload(s string) bool {
	if s == "" || len(s) > maxUpload {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !alphanumeric(c) && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
