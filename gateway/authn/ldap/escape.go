package ldap

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Where a value goes in a filter or a template.
const (
	loginMark  = "%s"
	memberMark = "%d"
)

// CanonicalDN is the form in which DNs are compared and in which groups that go by
// their DN are named: lower case, the escapes of RFC 4514 and no others, no spaces
// around separators. Whoever writes a group's DN down writes it through this.
func CanonicalDN(dn string) (string, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "", fmt.Errorf("authn/ldap: no DN: %w", err)
	}
	return strings.ToLower(parsed.String()), nil
}

// fill puts escaped values into a filter that checkFilter has seen. It makes one
// pass, so a value that looks like a mark stays a value.
func fill(filter, login, member string) string {
	return strings.NewReplacer(loginMark, ldap.EscapeFilter(login), memberMark, ldap.EscapeFilter(member)).Replace(filter)
}

// fillDN puts an escaped name into a template that checkTemplate has seen.
func fillDN(template, login string) string {
	return strings.Replace(template, loginMark, ldap.EscapeDN(login), 1)
}

var assertion = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)[^()=]*=[^()=]*$`)

// checkFilter refuses a filter in which mark is missing or stands somewhere else
// than in a value: escaping makes a value safe, not an attribute or an operator.
// It answers the attribute that the first mark is compared with.
func checkFilter(filter, mark string) (attribute string, err error) {
	parts := strings.Split(filter, mark)
	if len(parts) == 1 {
		return "", fmt.Errorf("%s is missing", mark)
	}
	// Not a comparison with the whole of an empty or a star: no marks may remain.
	if _, err := ldap.CompileFilter(fill(filter, "x", "x")); err != nil {
		return "", errors.New("it does not compile")
	}
	before := ""
	for _, part := range parts[:len(parts)-1] {
		before += part
		m := assertion.FindStringSubmatch(before)
		if m == nil {
			return "", fmt.Errorf("%s stands where no value is", mark)
		}
		if attribute == "" {
			attribute = m[1]
		}
		before += "x"
	}
	return attribute, nil
}

var templateHead = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*)=%s,`)

// checkTemplate refuses a template whose first part is not attribute=%s: the name
// chooses an entry in one place, never the place. It answers the attribute.
func checkTemplate(template string) (attribute string, err error) {
	m := templateHead.FindStringSubmatch(template)
	if m == nil || strings.Count(template, "%") != 1 {
		return "", errors.New("it is not of the form attribute=%s,BASE")
	}
	if _, err := ldap.ParseDN(fillDN(template, "x")); err != nil {
		return "", errors.New("it is no DN")
	}
	return m[1], nil
}
