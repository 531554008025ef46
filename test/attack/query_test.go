package attack_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 21: what a client may filter and sort by (Harbor CVE-2025-30086, where q=
// read password hashes letter by letter, CVE-2024-22261 and CVE-2019-19026, where
// the text reached the database).

// secretColumns are names of what no list may be asked about, as the database, as
// Go and as Harbor's own models call it.
var secretColumns = []string{
	"password", "password_hash", "hash", "secret", "secret_hash", "salt", "reset_uuid", "refresh", "Password", "Secret", "user__password",
	"user.password", "robots.secret", "permissions", "creator_issuer", "admin_role_in_auth", "PasswordHash", "1", "id;", "id desc",
	"(select 1)", "id)--", "*", "rowid", "name COLLATE NOCASE", "",
}

// hostileText is what would mean something to SQL, to a regular expression, to a
// format or to a path.
var hostileText = []string{
	`' OR '1'='1`, `'; DROP TABLE people; --`, `" OR 1=1 --`, `\'`, `%`, `_`, `%%%s%n`, `(a+)+$`, `(.*)*`, `^(a|a)*$`, `[a`, `{`, `)`, `[~]`, `[a~`,
	"{" + strings.Repeat("a ", 200) + "}", "\x00", "\r\n", "\u202e", "${jndi:ldap://127.0.0.1/}", "../../etc/passwd", "1e309", "NaN", strings.Repeat("[", 900),
	"9223372036854775808", "-9223372036854775809", "0x10", "true", "null",
}

func TestNoListIsAskedAboutWhatItDoesNotShow(t *testing.T) {
	w := newIdorWorld(t)
	before := w.state()
	lists := 0
	for _, o := range w.operations() {
		if !slices.Contains(o.query, "q") {
			continue
		}
		lists++
		t.Run(o.name(), func(t *testing.T) {
			path := fill(o.path, w.red)
			ask := func(q url.Values) harness.Response {
				for key, values := range required(o) {
					if q.Get(key) == "" {
						q[key] = values
					}
				}
				return w.call(caller{user: admin}, o.method, path+"?"+q.Encode(), nil)
			}
			if r := ask(url.Values{}); r.Status != http.StatusOK || r.Header.Get("X-Total-Count") == "" {
				t.Fatalf("the list itself: %d %s", r.Status, r.Body)
			}
			for _, column := range secretColumns {
				for _, q := range []url.Values{{"q": {column + "=~a"}}, {"q": {column + "=[a~b]"}}, {"q": {column + "=a"}}, {"sort": {column}}, {"sort": {"-" + column}}} {
					r := ask(q)
					// An empty sort is none; a condition without a name is wrong.
					if r.Status != http.StatusBadRequest && (column != "" || q.Get("sort") != "") {
						t.Errorf("%v: %d %s", q, r.Status, r.Body)
					}
				}
			}
			for _, text := range hostileText {
				for _, q := range []url.Values{{"q": {"id=" + text}}, {"q": {"name=" + text}}, {"q": {"name=~" + text}}, {"q": {text}}, {"sort": {text}}, {"q": {"creation_time=" + text}}, {"q": {"public=" + text}}} {
					r := ask(q)
					if r.Status != http.StatusBadRequest && r.Status != http.StatusOK {
						t.Errorf("%v: %d %s", q, r.Status, r.Body)
					}
					if bytes.Contains(bytes.ToLower(r.Body), []byte("sql")) || bytes.Contains(r.Body, []byte("panic")) {
						t.Errorf("%v: %s", q, r.Body)
					}
				}
			}
			for _, bound := range []string{"0", "-1", "101", "1000000000", "99999999999999999999", "1e3", "0x1", " 1", "1;", "NaN"} {
				if r := ask(url.Values{"page_size": {bound}}); r.Status != http.StatusBadRequest {
					t.Errorf("page_size=%s: %d", bound, r.Status)
				}
			}
			for _, bound := range []string{"0", "-1", "99999999999999999999", "4294967296", "a"} {
				if r := ask(url.Values{"page": {bound}}); r.Status != http.StatusBadRequest {
					t.Errorf("page=%s: %d", bound, r.Status)
				}
			}
			if r := ask(url.Values{"page": {"2147483647"}, "page_size": {"100"}}); r.Status != http.StatusOK || strings.TrimSpace(string(r.Body)) != "[]" {
				t.Errorf("the last page that there can be: %d %s", r.Status, r.Body)
			}
			for _, long := range []url.Values{{"q": {"id=" + strings.Repeat("1", 2000)}}, {"sort": {strings.Repeat("id,", 500) + "id"}}, {"q": {strings.Repeat("id=1,", 20) + "id=1"}}} {
				if r := ask(long); r.Status != http.StatusBadRequest {
					t.Errorf("%d bytes: %d", len(long.Encode()), r.Status)
				}
			}
			if r := ask(url.Values{"unknown": {"1"}}); r.Status != http.StatusBadRequest {
				t.Errorf("a parameter that is not described: %d", r.Status)
			}
		})
	}
	if lists < 8 {
		t.Errorf("only %d lists take q", lists)
	}
	if after := w.state(); after != before {
		t.Errorf("asking changed something\nbefore %s\nafter  %s", before, after)
	}
}

// required is the query that a list does not answer without.
func required(o operation) url.Values {
	q, err := url.ParseQuery(strings.TrimPrefix(needed[o.name()], "?"))
	if err != nil {
		panic(err)
	}
	return q
}

// No list shows a secret or the hash of one, whatever it is asked for.
func TestNoAnswerHasASecret(t *testing.T) {
	w := newIdorWorld(t)
	robot, token := w.robot(pat, "red", "shown", "pull"), w.accessToken(pat, object{"name": "shown"})
	for _, o := range w.operations() {
		if o.method != http.MethodGet {
			continue
		}
		r := w.call(caller{user: admin}, o.method, fill(o.path, w.red)+needed[o.name()], nil)
		if strings.HasSuffix(o.path, "openapi.json") || strings.HasSuffix(o.path, "/schema") {
			continue // names of fields and no values
		}
		for _, s := range []string{robot.Secret, token.Secret, password, harness.AdminPassword, "argon2", `"password`, `"secret`, `"hash":"$`} {
			if bytes.Contains(r.Body, []byte(s)) {
				t.Errorf("%s: %s", o.name(), r.Body)
			}
		}
	}
	for _, s := range []string{robot.Secret, token.Secret, password, harness.AdminPassword} {
		if strings.Contains(w.Log(), s) {
			t.Errorf("the log has a secret")
		}
	}
	var decisions []json.RawMessage
	if err := json.Unmarshal(w.api(http.MethodGet, "/decisions?limit=1000", nil), &decisions); err != nil || len(decisions) == 0 {
		t.Fatal(err)
	}
	for _, d := range decisions {
		var id struct{ ID string }
		if err := json.Unmarshal(d, &id); err != nil {
			t.Fatal(err)
		}
		record := w.api(http.MethodGet, "/decisions/"+id.ID, nil)
		for _, s := range []string{robot.Secret, token.Secret, password, harness.AdminPassword} {
			if bytes.Contains(record, []byte(s)) {
				t.Errorf("the decision has a secret: %s", record)
			}
		}
	}
}
