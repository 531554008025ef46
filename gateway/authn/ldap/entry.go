package ldap

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// Attributes that say that an account is closed. The last is operational: a server
// sends it only to those who ask.
const (
	attrControl = "userAccountControl"   // Active Directory, MS-ADTS section 2.2.16
	attrExpires = "accountExpires"       // Active Directory, MS-ADA1 section 2.5
	attrNSLock  = "nsAccountLock"        // 389 Directory Server
	attrPPolicy = "pwdAccountLockedTime" // draft-behera-ldap-password-policy section 5.3.3
)

const (
	controlDisabled = 0x2
	maxIDBytes      = 255
)

// Person is what the directory has of somebody.
type Person struct {
	DN string
	// ID is the subject of the principal, Login what people type.
	ID, Login       string
	Email, RealName string
	// Disabled says why the account is closed; empty for one that is open.
	Disabled string
	// Groups are names or DNs, as configured, in order and each once.
	Groups []string
	// Attributes are all that were read.
	Attributes map[string][]string

	memberOf []string
}

// wanted are the attributes that are read of a person.
func (c *Config) wanted() []string {
	out := []string{attrControl, attrExpires, attrNSLock, attrPPolicy, c.Attributes.Login, c.Attributes.ID}
	for _, name := range []string{c.Attributes.Email, c.Attributes.RealName, c.Groups.MemberOf} {
		if name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}

// errEntry: an entry that cannot stand for one person. It refuses the login.
var errEntry = fmt.Errorf("%w: the entry", errAnswer)

// person reads an entry. An id that is missing, or that has two values of which
// somebody could have added one, is [errEntry].
func (c *Config) person(e *ldap.Entry) (Person, error) {
	p := Person{DN: e.DN, Attributes: map[string][]string{}}
	for _, a := range e.Attributes {
		if !strings.EqualFold(a.Name, "objectGUID") {
			p.Attributes[a.Name] = a.Values
		}
	}
	var err error
	if p.memberOf, err = whole(e, c.Groups.MemberOf); err != nil {
		return Person{}, err
	}
	if p.Login, err = single(e, c.Attributes.Login); err != nil {
		return Person{}, err
	}
	if p.ID, err = single(e, c.Attributes.ID); err != nil {
		return Person{}, err
	}
	p.ID = strings.ToLower(p.ID)
	p.Email, p.RealName = c.text(e, c.Attributes.Email), c.text(e, c.Attributes.RealName)
	p.Disabled = closed(e, c.Now())
	return p, nil
}

// single is the one value of an attribute that names a person.
func single(e *ldap.Entry, attribute string) (string, error) {
	values := e.GetEqualFoldRawAttributeValues(attribute)
	if len(values) != 1 {
		return "", fmt.Errorf("%w has %d values of %s and one is wanted", errEntry, len(values), attribute)
	}
	value := string(values[0])
	if strings.EqualFold(attribute, "objectGUID") {
		var ok bool
		if value, ok = guid(values[0]); !ok {
			return "", fmt.Errorf("%w's objectGUID has not 16 bytes", errEntry)
		}
	}
	if value == "" || len(value) > maxIDBytes || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("%w's %s is empty, too long or no text", errEntry, attribute)
	}
	return value, nil
}

// whole is all values of an attribute. Active Directory sends 1,500 at a time, under
// a name such as "memberOf;range=0-1499" (MS-ADTS section 3.1.1.3.1.3.3), which
// reads as no value at all.
func whole(e *ldap.Entry, attribute string) ([]string, error) {
	if attribute == "" {
		return nil, nil
	}
	ranged := strings.ToLower(attribute) + ";range="
	for _, a := range e.Attributes {
		if strings.HasPrefix(strings.ToLower(a.Name), ranged) {
			return nil, fmt.Errorf("%w values of %s", errTooMany, attribute)
		}
	}
	return e.GetEqualFoldAttributeValues(attribute), nil
}

// text is the first value of an attribute that is only read by people.
func (c *Config) text(e *ldap.Entry, attribute string) string {
	if attribute == "-" {
		return ""
	}
	for _, v := range e.GetEqualFoldAttributeValues(attribute) {
		if v != "" && len(v) <= maxIDBytes && utf8.ValidString(v) && !strings.ContainsFunc(v, unicode.IsControl) {
			return v
		}
	}
	return ""
}

// guid writes an objectGUID as Windows does: the first three fields are
// little-endian (MS-DTYP section 2.3.4.2).
func guid(b []byte) (string, bool) {
	if len(b) != 16 {
		return "", false
	}
	s := hex.EncodeToString([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}) + hex.EncodeToString(b[8:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], true
}

// guidFilter is the value of a filter for an objectGUID in the form of guid.
func guidFilter(id string) (string, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 {
		return "", false
	}
	b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]
	var out strings.Builder
	for _, c := range b {
		fmt.Fprintf(&out, "\\%02x", c)
	}
	return out.String(), true
}

// closed is why an account is closed, or empty. A value that cannot be read closes
// it: the attribute is there to do so.
func closed(e *ldap.Entry, now time.Time) string {
	if v := e.GetEqualFoldAttributeValue(attrControl); v != "" {
		// It is a signed 32-bit number, so a high flag makes it negative.
		flags, err := strconv.ParseInt(v, 10, 64)
		if err != nil || flags&controlDisabled != 0 {
			return attrControl
		}
	}
	if v := e.GetEqualFoldAttributeValue(attrExpires); v != "" {
		// 100 ns since 1601; 0 and the highest mean never.
		at, err := strconv.ParseInt(v, 10, 64)
		if err != nil || at < 0 || at != 0 && at != 1<<63-1 && !now.Before(fileTime(at)) {
			return attrExpires
		}
	}
	if v := e.GetEqualFoldAttributeValue(attrNSLock); v != "" && !strings.EqualFold(v, "false") {
		return attrNSLock
	}
	if len(e.GetEqualFoldAttributeValues(attrPPolicy)) > 0 {
		return attrPPolicy
	}
	return ""
}

// fileTime is a Windows file time.
func fileTime(ticks int64) time.Time {
	const epoch = 11_644_473_600 // seconds from 1601 to 1970
	return time.Unix(ticks/10_000_000-epoch, ticks%10_000_000*100)
}
