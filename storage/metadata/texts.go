package metadata

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

// maxText bounds a name or another text of one line, in bytes.
const maxText = 512

// checkText refuses what would not be one line of text: names and the like come
// from directories and identity providers, and end in logs and terminals.
func checkText(what, s string) error {
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s is not one line of at most %d bytes: %w", what, maxText, policy.ErrInvalid)
	}
	return nil
}

// checkName is checkText for what must not be empty.
func checkName(what, s string) error {
	if strings.TrimSpace(s) == "" {
		return fmt.Errorf("%s is missing: %w", what, policy.ErrInvalid)
	}
	return checkText(what, s)
}

// checkIssuer refuses a space, which keys of changes use as a separator.
func checkIssuer(s string) error {
	if strings.Contains(s, " ") {
		return fmt.Errorf("an issuer has no space in it: %w", policy.ErrInvalid)
	}
	return checkName("an issuer", s)
}

// encoded is v as a JSON column.
func encoded(what string, v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", what, policy.ErrInvalid, err)
	}
	return string(raw), nil
}

// decoded reads a JSON column.
func decoded(what, column string, into any) error {
	if err := json.Unmarshal([]byte(column), into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// verbatim is a document of somebody else's as a JSON column.
func verbatim(what string, raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "null", nil
	}
	if !json.Valid(raw) {
		return "", fmt.Errorf("%s: not JSON: %w", what, policy.ErrInvalid)
	}
	return string(raw), nil
}

// document reads what verbatim wrote; nil for none.
func document(column string) json.RawMessage {
	if column == "null" {
		return nil
	}
	return json.RawMessage(column)
}
