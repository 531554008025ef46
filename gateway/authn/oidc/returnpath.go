package oidc

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/bondgate/bondgate/policy"
)

// maxReturn is the longest path that a login leads back to, in bytes.
const maxReturn = 512

// returnShape is all that may be asked for: segments of letters, digits and a few
// signs, none empty, and a query that cannot leave its place. No percent sign is
// in the path: what is decoded twice somewhere must not become another path.
var returnShape = regexp.MustCompile(`^(/|(/[A-Za-z0-9._~@:+-]+)+/?)(\?[A-Za-z0-9._~&=+%,:-]*)?$`)

// returnPath is where a login leads back to: a path of this site, or
// [policy.ErrInvalid]. Browsers read //host, /\host and much else as another site
// (CVE-2024-22244 was of this kind), so nothing is mended and little is let through.
func returnPath(raw string) (string, error) {
	if raw == "" {
		return home, nil
	}
	bad := fmt.Errorf("authn/oidc: the login cannot lead back there: %w", policy.ErrInvalid)
	if len(raw) > maxReturn || !returnShape.MatchString(raw) {
		return "", bad
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
		return "", bad
	}
	if p := strings.TrimSuffix(u.Path, "/"); p != "" && path.Clean(p) != p {
		return "", bad // a segment of dots
	}
	return raw, nil
}
