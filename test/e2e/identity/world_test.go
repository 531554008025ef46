package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	people   = "ou=people," + harness.SlapdSuffix
	groups   = "ou=groups," + harness.SlapdSuffix
	account  = "cn=gateway,ou=services," + harness.SlapdSuffix
	service  = "password-of-the-gateway" // account's
	password = "correct-Horse-7-battery" // everybody's
)

// person is the LDIF of somebody.
func person(uid string) string {
	return fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nmail: %[1]s@example.org\nuserPassword: %[3]s\n\n",
		uid, people, password)
}

// group is the LDIF of a group with members, each a DN.
func group(cn string, members ...string) string {
	return fmt.Sprintf("dn: cn=%s,%s\nobjectClass: groupOfNames\ncn: %[1]s\nmember: %[3]s\n\n", cn, groups, strings.Join(members, "\nmember: "))
}

func personDN(uid string) string { return "uid=" + uid + "," + people }
func groupDN(cn string) string   { return "cn=" + cn + "," + groups }

// directory starts a slapd with some people and groups.
func directory(t testing.TB, entries ...string) *harness.Slapd {
	t.Helper()
	var ldif strings.Builder
	for _, ou := range []string{"people", "groups", "services"} {
		fmt.Fprintf(&ldif, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %[1]s\n\n", ou, harness.SlapdSuffix)
	}
	fmt.Fprintf(&ldif, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gateway\nuserPassword: %s\n\n", account, service)
	return harness.StartSlapd(t, ldif.String()+strings.Join(entries, ""))
}

// startTLS and overTLS are the configuration of a directory that is reached by
// ldap:// and by ldaps://. Its groups go by their names, and groups within groups
// count. more is further lines of it.
func startTLS(name string, d *harness.Slapd, more string) string {
	return ldapConfig(name, d.URL, d.CAFile, "      start_tls: true\n      bind_password: "+service+"\n"+more)
}

func overTLS(t testing.TB, name string, d *harness.Slapd) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bind")
	if err := os.WriteFile(file, []byte(service+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return ldapConfig(name, d.TLSURL, d.CAFile, "      bind_password_file: "+file+"\n")
}

func ldapConfig(name, url, ca, more string) string {
	return fmt.Sprintf(`    - name: %s
      servers: ["%s"]
      ca_file: %s
      bind_dn: %s
      base_dn: %s
      filter: "(uid=%%s)"
      groups: {member_of: memberOf, base_dn: "%s", name: cn, nested: walk}
`, name, url, ca, account, people, groups) + more
}

// apply makes a project as a file says.
func apply(t testing.TB, g *harness.Gateway, file string) {
	t.Helper()
	g.CLIWithInput(file, "project", "apply", "-f", "-").OK(t)
}

// bearer gets a token for scopes, as a registry client does.
func bearer(t testing.TB, g *harness.Gateway, user, secret string, scopes ...string) string {
	t.Helper()
	r := askToken(g, user, secret, scopes...)
	var answer struct{ Token string }
	if err := json.Unmarshal(r.Body, &answer); r.Status != http.StatusOK || err != nil || answer.Token == "" {
		t.Fatalf("/token for %s answers %d: %s", user, r.Status, r.Body)
	}
	return answer.Token
}

func askToken(g *harness.Gateway, user, secret string, scopes ...string) harness.Response {
	return g.Do(http.MethodGet, "/token?"+url.Values{"service": {g.Host}, "scope": scopes}.Encode(), user, secret, nil, nil)
}

// crane is a crane that somebody has logged in.
func crane(t testing.TB, g *harness.Gateway, user, secret string) *harness.Tool {
	t.Helper()
	c := harness.Crane(t)
	c.Credentials(g.Host, user, secret)
	return c
}

// push pushes an image that nobody has seen before.
func push(t testing.TB, g *harness.Gateway, user, secret, repository string) harness.Result {
	t.Helper()
	ref := g.Ref(repository, "1")
	return crane(t, g, user, secret).Run("push", harness.Image(t, harness.ImageSpec{Name: ref, User: "1000"}), ref)
}

func pull(t testing.TB, g *harness.Gateway, user, secret, repository string) harness.Result {
	t.Helper()
	return crane(t, g, user, secret).Run("pull", g.Ref(repository, "1"), filepath.Join(t.TempDir(), "pulled.tar"))
}

// seed puts an image into each repository.
func seed(t testing.TB, g *harness.Gateway, repositories ...string) {
	t.Helper()
	for _, r := range repositories {
		push(t, g, harness.AdminUser, harness.AdminPassword, r).OK(t)
	}
}

// printed reads the JSON that a command printed.
func printed[T any](t testing.TB, r harness.Result) T {
	t.Helper()
	var out T
	if err := json.Unmarshal([]byte(r.OK(t)), &out); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(r.Args, " "), err, r.Said())
	}
	return out
}

// made is what is shown once of a robot or an access token.
type made struct {
	ID           int64
	Name, Secret string
}

func robot(t testing.TB, g *harness.Gateway, args ...string) made {
	t.Helper()
	return printed[made](t, g.CLI(append([]string{"robot", "create", "--json"}, args...)...))
}

func accessToken(t testing.TB, g *harness.Gateway, args ...string) made {
	t.Helper()
	return printed[made](t, g.CLI(append([]string{"token", "create", "--json"}, args...)...))
}

// as runs a command of bondgate against the gateway's address, as somebody.
func as(t testing.TB, server, user, secret string, args ...string) harness.Result {
	t.Helper()
	env := []string{"BONDGATE_USERNAME=" + user, "BONDGATE_PASSWORD=" + secret, "BONDGATE_DATA_DIR=" + t.TempDir()}
	return harness.Run(t, env, "", harness.Binary(t), append(args, "--server", server)...)
}

// asked is an answer to a request of the management API.
func asked(g *harness.Gateway, method, path, user, secret string, body any) harness.Response {
	if body == nil {
		return g.Do(method, path, user, secret, nil, nil)
	}
	raw, _ := json.Marshal(body) // of a literal in a test
	return g.Do(method, path, user, secret, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(raw))
}

var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// digestIn is the last digest that a client printed.
func digestIn(t testing.TB, said string) string {
	t.Helper()
	all := digestPattern.FindAllString(said, -1)
	if len(all) == 0 {
		t.Fatalf("no digest in: %s", said)
	}
	return all[len(all)-1]
}

// userID is the number of the one person that a list of Harbor's has.
func userID(t testing.TB, r harness.Response) int64 {
	t.Helper()
	var all []struct {
		ID int64 `json:"user_id"`
	}
	if err := json.Unmarshal(r.Body, &all); err != nil || len(all) != 1 {
		t.Fatalf("one person is wanted: %d %s", r.Status, r.Body)
	}
	return all[0].ID
}
