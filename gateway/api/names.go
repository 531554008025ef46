package api

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bondgate/bondgate/policy"
)

// Bounds on names and texts, in bytes.
const (
	maxProject  = 63
	maxName     = 255
	maxText     = 4096
	minPassword = 8
	maxPassword = 1024
)

var (
	// projectName is one component of the distribution-spec's repository names.
	projectName = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	userName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]*$`)
)

// Roles lists the roles that a member can have, from the strongest.
func Roles() []string {
	return []string{"projectAdmin", "maintainer", "developer", "guest", "limitedGuest"}
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", policy.ErrInvalid, fmt.Sprintf(format, args...))
}

// CheckProjectName says what is wrong with a project's name.
func CheckProjectName(name string) error {
	if len(name) > maxProject || !projectName.MatchString(name) {
		return refuse("a project's name is 1 to %d of a-z 0-9 with single . _ or - between them: %s", maxProject, show(name))
	}
	return nil
}

// CheckUserName says what is wrong with an account's name.
func CheckUserName(name string) error {
	if len(name) > maxName || !userName.MatchString(name) {
		return refuse("a user's name is 1 to %d letters, digits and . _ - @: %s", maxName, show(name))
	}
	return nil
}

// CheckPassword says what is wrong with a password, never repeating it.
func CheckPassword(password string) error {
	switch {
	case len(password) < minPassword:
		return refuse("a password has at least %d characters", minPassword)
	case len(password) > maxPassword:
		return refuse("a password has at most %d bytes", maxPassword)
	case !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl):
		return refuse("a password has no control characters")
	default:
		return nil
	}
}

// checkText bounds free text and keeps control characters out of logs and terminals.
func checkText(what, s string, most int) error {
	if len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return refuse("%s has at most %d bytes and no control characters", what, most)
	}
	return nil
}

func checkEmail(s string) error {
	if s == "" {
		return nil
	}
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || len(s) > maxName {
		return refuse("%s is not an e-mail address", show(s))
	}
	return nil
}

func checkLabels(labels map[string]string) error {
	if len(labels) > 64 {
		return refuse("a project has at most 64 labels")
	}
	for k, v := range labels {
		if k == "" {
			return refuse("a label has a name")
		}
		if err := checkText("a label's name", k, maxName); err != nil {
			return err
		}
		if err := checkText("a label's value", v, maxText); err != nil {
			return err
		}
	}
	return nil
}

func checkPacks(packs []policy.Pack) error {
	seen := map[string]bool{}
	for _, p := range packs {
		if err := checkText("a pack's name", p.Name, maxName); err != nil || p.Name == "" {
			return refuse("a pack has a name of at most %d bytes", maxName)
		}
		if seen[p.Name] {
			return refuse("the pack %s is named twice", show(p.Name))
		}
		seen[p.Name] = true
		if !slices.Contains([]policy.Mode{policy.ModeOff, policy.ModeDryrun, policy.ModeWarn, policy.ModeDeny}, p.Mode) {
			return refuse("the mode of pack %s is off, dryrun, warn or deny, not %s", show(p.Name), show(string(p.Mode)))
		}
		if len(p.Config) > 0 && p.Config[0] != '{' {
			return refuse("the configuration of pack %s is a JSON object", show(p.Name))
		}
	}
	return nil
}

// show quotes a short beginning of what a caller sent.
func show(s string) string {
	if r := []rune(s); len(r) > 64 {
		s = string(r[:64]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
