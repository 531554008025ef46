package policy

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

// Bounds on a waiver. Whoever needs more of them wants another rule.
const (
	maxWaiverList = 1000
	maxWaiverText = 4096
	maxWaiverName = 255
)

var (
	waiverID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	// waivedCode has no star and no bar: a waiver names one rule, and the bar parts
	// rule and term where waivers are looked up.
	waivedCode = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._:/-]*$`)
	// waivedProject is one component of the distribution-spec's repository names.
	waivedProject = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
)

// Check says what is wrong with a waiver, wherever it stands ([ErrInvalid]): it has an
// id, a rule, an owner and an end; its patterns can match; nothing in it is long or
// steers a terminal. Whether it was approved is not asked.
func (w *Waiver) Check() error {
	switch {
	case !waiverID.MatchString(w.ID):
		return invalidWaiver("its id is 1 to 64 letters, digits and . _ -: %s", excerpt(w.ID))
	case len(w.Rule) > maxWaiverName || !waivedCode.MatchString(w.Rule):
		return invalidWaiver("it names the code of one rule, such as image.root_user: %s", excerpt(w.Rule))
	case strings.TrimSpace(w.Owner) == "":
		return invalidWaiver("it has no owner")
	case w.Expires.IsZero():
		return invalidWaiver("it has no end: expires")
	}
	for _, s := range w.Projects {
		if len(s) > maxWaiverName || !waivedProject.MatchString(s) {
			return invalidWaiver("%s is not the name of a project", excerpt(s))
		}
	}
	for _, s := range w.Repositories {
		if !ValidWaiverPattern(s) {
			return invalidWaiver("%s is not a pattern of repositories, such as payments/* or payments/**", excerpt(s))
		}
	}
	for _, s := range w.Digests {
		if err := digest.Digest(s).Validate(); err != nil {
			return invalidWaiver("%s is not a digest", excerpt(s))
		}
	}
	for _, s := range w.Terms {
		if s == "" {
			return invalidWaiver("a term is empty")
		}
	}
	return w.checkTexts()
}

func (w *Waiver) checkTexts() error {
	for what, texts := range map[string][]string{
		"term": w.Terms, "project": w.Projects, "repository": w.Repositories, "digest": w.Digests,
	} {
		if len(texts) > maxWaiverList {
			return invalidWaiver("it has more than %d of %s", maxWaiverList, what)
		}
		for _, s := range texts {
			if !plainText(s, maxWaiverName) {
				return invalidWaiver("a %s has at most %d bytes and no control characters", what, maxWaiverName)
			}
		}
	}
	for what, s := range map[string]string{"owner": w.Owner, "approver": w.Approver, "ticket": w.Ticket} {
		if !plainText(s, maxWaiverName) {
			return invalidWaiver("the %s has at most %d bytes and no control characters", what, maxWaiverName)
		}
	}
	for what, s := range map[string]string{"reason": w.Reason, "remark": w.Remark} {
		if !plainText(s, maxWaiverText) {
			return invalidWaiver("the %s has at most %d bytes and no control characters", what, maxWaiverText)
		}
	}
	return nil
}

func plainText(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func invalidWaiver(format string, args ...any) error {
	return fmt.Errorf("%w waiver: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// excerpt quotes a short beginning.
func excerpt(s string) string {
	if r := []rune(s); len(r) > 64 {
		s = string(r[:64]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
