package attack_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/bondgate/bondgate/test/harness"
)

// poison is text that ends a line, opens another that looks like the server's
// own, steers a terminal in 7 and in 8 bits, turns the reading order around,
// hides, and ends a JSON string.
const poison = "x\r\ntime=2026-01-01T00:00:00Z level=ERROR msg=forged\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\r\n" +
	"\x1b[2J\x1b]0;owned\x07\u009b31m\u0085\u2028\u2029\u202egnp\u202c\u2066\u061c\u200b\ufeff\U000e0041\x00\x7f\",\"allow\":true,\"x\":\"=cmd|' /C calc'!A1"

// harmful says which rune of the text would do something to whoever reads it;
// ends of lines are the caller's to look at.
func harmful(s string) string {
	if !utf8.ValidString(s) {
		return "bytes that are no text"
	}
	for i, r := range s {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			return fmt.Sprintf("%U in %q", r, s[max(0, i-40):min(len(s), i+40)])
		}
	}
	return ""
}

const poisonous = `package bondgate.rules.said

# METADATA
# custom:
#   code: said.listing
#   remediation: See the annotation.
deny contains {"code": "said.listing", "msg": said} if {
	input.action == "manifest.pull"
	input.artifact.annotations.verdict == "deny"
	said := input.artifact.annotations.said
}

warn contains {"code": "said.warned", "msg": said, "remediation": said} if {
	input.action == "manifest.pull"
	input.artifact.annotations.verdict == "warn"
	said := input.artifact.annotations.said
}

deny contains {"code": input.request.user_agent, "msg": concat(" ", [input.request.user_agent, input.request.path])} if {
	input.action == "tags.list"
	input.repository.name == "red/agent"
}
`

// Class 25: what people, clients and images are called, and what they say, is
// text wherever it is shown.
func TestTextOfOthersIsTextInLogsAnswersAndTerminals(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			file("said.rego", poisonous)(t, dir)
			w := newWorld(t, harness.Options{Policy: dir, Config: "log:\n  format: " + format + "\n  level: debug\n"})
			w.provoke(t)
			w.logIsWhole(t, format)
			w.terminalIsSafe(t)
		})
	}
}

// provoke sends poison by every way that is known, and looks at each answer.
func (w *world) provoke(t *testing.T) {
	t.Helper()
	escaped := url.PathEscape(poison)
	query := url.QueryEscape(poison)
	visible := strings.Map(func(r rune) rune { // what a header can carry at all
		if r == '\r' || r == '\n' || r == 0 || r == 0x1b || r == 7 || r == 0x7f {
			return -1
		}
		return r
	}, poison)
	basicOf := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, c := range []struct {
		what, method, path string
		header             http.Header
	}{
		{"a user's name", http.MethodGet, "/v2/", http.Header{"Authorization": {basicOf(poison, "x")}}},
		{"a password", http.MethodGet, "/v2/", http.Header{"Authorization": {basicOf(alice, poison)}}},
		{"a user's name at the token service", http.MethodGet, "/token?service=x", http.Header{"Authorization": {basicOf(poison, "x")}}},
		{"a bearer token", http.MethodGet, "/v2/", http.Header{"Authorization": {"Bearer " + visible}}},
		{"a scheme", http.MethodGet, "/v2/", http.Header{"Authorization": {visible}}},
		{"a repository", http.MethodGet, "/v2/red/" + escaped + "/tags/list", nil},
		{"a tag", http.MethodGet, "/v2/red/app/manifests/" + escaped, nil},
		{"a digest", http.MethodGet, "/v2/red/app/blobs/sha256:" + escaped, nil},
		{"an upload", http.MethodPatch, "/v2/red/app/blobs/uploads/" + escaped, nil},
		{"a path of nothing", http.MethodGet, "/" + escaped, nil},
		{"an object of the API", http.MethodGet, "/api/v1/projects/" + escaped, nil},
		{"a decision", http.MethodGet, "/api/v1/decisions/" + escaped, nil},
		{"a filter of decisions", http.MethodGet, "/api/v1/decisions?subject=" + query + "&project=" + query, nil},
		{"a filter of referrers", http.MethodGet, "/v2/red/app/referrers/" + digestOf(nil) + "?artifactType=" + query, nil},
		{"a place in a list", http.MethodGet, "/v2/red/app/tags/list?n=1&last=" + query, nil},
		{"a number", http.MethodGet, "/v2/red/app/tags/list?n=" + query, nil},
		{"a scope", http.MethodGet, "/token?service=" + query + "&account=" + query + "&scope=" + query, nil},
		{"a mount", http.MethodPost, "/v2/red/app/blobs/uploads/?mount=" + query + "&from=" + query, nil},
		{"a user agent", http.MethodGet, "/v2/red/agent/tags/list", http.Header{"User-Agent": {visible}}},
		{"headers of a proxy", http.MethodGet, "/v2/red/agent/tags/list", http.Header{
			"X-Forwarded-For": {visible}, "X-Forwarded-Host": {visible}, "X-Request-Id": {visible}, "Traceparent": {visible}, "Referer": {visible}}},
		{"a content type", http.MethodPut, "/v2/red/app/manifests/v1", http.Header{"Content-Type": {visible}}},
		{"a range", http.MethodPatch, "/v2/red/app/blobs/uploads/x", http.Header{"Content-Range": {visible}}},
	} {
		for _, user := range []string{nobody, alice, admin} {
			h := c.header.Clone()
			if h == nil {
				h = http.Header{}
			}
			if h.Get("Authorization") == "" && user != nobody {
				h.Set("Authorization", basicOf(user, passwordOf(user)))
			}
			w.answerIsText(t, c.what, w.Do(c.method, c.path, "", "", h, nil))
		}
	}
	// Names are letters, digits and a few signs: nothing that begins a formula.
	for _, name := range []string{poison, "=1+1", "+1", "-1", "@SUM(A1)", "a\tb", "a\u202eb", "a,b", "a\"b"} {
		for path, body := range map[string]map[string]any{
			"/users":    {"name": name, "password": password},
			"/projects": {"name": name},
		} {
			r := w.as(admin, http.MethodPost, "/api/v1"+path, http.Header{"Content-Type": {"application/json"}}, mustJSON(body))
			w.answerIsText(t, "a new name", r)
			if r.Status/100 == 2 {
				t.Errorf("%s takes the name %q", path, name)
			}
		}
		r := w.as(admin, http.MethodPut, "/v2/red/app/manifests/"+url.PathEscape(name), http.Header{"Content-Type": {manifestType}}, []byte("{}"))
		if r.Status/100 == 2 {
			t.Errorf("a tag may be %q", name)
		}
		w.answerIsText(t, "a new tag", r)
		// Descriptions may say what they like; whoever shows them has to look after himself.
		w.as(admin, http.MethodPost, "/api/v1/users", http.Header{"Content-Type": {"application/json"}},
			mustJSON(map[string]any{"name": fmt.Sprintf("u%x", name[:1]), "password": password, "real_name": name, "email": name}))
	}
	// An image says it in its annotations, and a rule repeats it.
	for _, verdict := range []string{"deny", "warn"} {
		im := w.push(alice, newImage("red/app", verdict, verdict, "1000", func(m map[string]any) {
			m["annotations"] = map[string]any{"verdict": verdict, "said": poison, poison: poison}
		}))
		for _, user := range []string{gus, alice} {
			r := w.as(user, http.MethodGet, "/v2/red/app/manifests/"+verdict, harness.Accept, nil)
			if r.Status != http.StatusOK {
				w.answerIsText(t, "an annotation", r)
			}
			headersAreText(t, "an annotation", r.Header)
			if verdict == "warn" && len(r.Header["Warning"]) == 0 {
				t.Errorf("no warning: %d %s", r.Status, r.Body)
			}
			if verdict == "deny" && r.Status != http.StatusForbidden {
				t.Errorf("not denied: %d", r.Status)
			}
		}
		refused(t, "a layer", w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+digestOf([]byte("nothing")), nil, nil), im.layer)
	}
	// What no client library sends.
	for _, line := range []string{
		"GET /v2/\x1b[31m HTTP/1.1\r\nHost: HOST\r\n",
		"GET /v2/ HTTP/1.1\r\nHost: HOST\r\nUser-Agent: a\x1b[31mb\r\n",
		"GET /v2/ HTTP/1.1\r\nHost: evil\"\\,realm=\"x\r\n",
		"GET /v2/ HTTP/1.1\r\nHost: HOST\r\nX-\x1b: x\r\n",
		"\x1b[31mGET /v2/ HTTP/1.1\r\nHost: HOST\r\n",
		"GET /v2/ HTTP/1.1\nHost: HOST\nUser-Agent: a\rlevel=ERROR msg=forged\n",
	} {
		if answer := w.rawRequest(line + "Connection: close\r\n\r\n"); harmful(strings.ReplaceAll(answer, "\r\n", "\n")) != "" {
			t.Errorf("%q is answered by %q", line, answer)
		}
	}
}

func headersAreText(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, values := range h {
		for _, v := range values {
			for _, r := range name + v {
				if r < 0x20 || r > 0x7e {
					t.Errorf("%s: the header %s is %q", what, name, v)
					break
				}
			}
			if len(v) > 4096 {
				t.Errorf("%s: the header %s has %d bytes", what, name, len(v))
			}
		}
		if strings.Contains(strings.ToLower(name), "forged") {
			t.Errorf("%s: a header is forged: %s", what, name)
		}
	}
}

// answerIsText fails the test unless a terminal may show the answer: JSON of one
// meaning without anything that steers.
func (w *world) answerIsText(t *testing.T, what string, r harness.Response) {
	t.Helper()
	headersAreText(t, what, r.Header)
	if bad := harmful(string(r.Body)); bad != "" {
		t.Errorf("%s: answered %d with %s", what, r.Status, bad)
	}
	if strings.Contains(strings.TrimRight(string(r.Body), "\n"), "\n") && strings.Contains(string(r.Body), "forged") {
		t.Errorf("%s: answered %d on several lines: %s", what, r.Status, r.Body)
	}
	if len(r.Body) > 0 && !json.Valid(r.Body) && strings.Contains(r.Header.Get("Content-Type"), "json") {
		t.Errorf("%s: answered %d by what is not JSON: %s", what, r.Status, r.Body)
	}
	var out struct {
		Errors []struct{ Message, Detail string }
	}
	if json.Unmarshal(r.Body, &out) == nil {
		for _, e := range out.Errors {
			if bad := harmful(e.Message + e.Detail); bad != "" || strings.Contains(e.Message+e.Detail, "\n") {
				t.Errorf("%s: the message is %q", what, e.Message+e.Detail)
			}
		}
	}
}

// logIsWhole fails the test unless each line of the log is one that the server
// wrote, and nothing in it steers.
func (w *world) logIsWhole(t *testing.T, format string) {
	t.Helper()
	log := w.Log()
	lines := 0
	for line := range strings.Lines(log) {
		line, ended := strings.CutSuffix(line, "\n")
		if !ended || line == "" {
			continue
		}
		lines++
		if bad := harmful(line); bad != "" {
			t.Errorf("a line of the log has %s", bad)
		}
		switch format {
		case "json":
			var entry struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" {
				// What is printed before the log begins is the first start's alone.
				if lines > 5 {
					t.Errorf("a line of the log is no entry: %q", line)
				}
			} else if entry.Msg == "forged" {
				t.Errorf("an entry is forged: %q", line)
			}
		default:
			if strings.HasPrefix(line, "{") || strings.HasPrefix(line, "time=2026-01-01T00:00:00Z") || (lines > 5 && !strings.HasPrefix(line, "time=")) {
				t.Errorf("a line of the log is forged: %q", line)
			}
		}
	}
	if lines < 50 {
		t.Errorf("the log has %d lines", lines)
	}
}

// terminalIsSafe looks at what an operator sees of all this.
func (w *world) terminalIsSafe(t *testing.T) {
	t.Helper()
	var ids []string
	harness.Eventually(t, "the decisions are recorded", func() error {
		out := w.CLI("decisions", "tail", "-n", "1000", "--json").OK(t)
		var agents, denied bool
		ids = nil
		for line := range strings.Lines(out) {
			var d struct {
				ID, Verdict, Message string
				Deny                 []struct{ Code, Message, Msg string }
			}
			if err := json.Unmarshal([]byte(line), &d); err != nil || d.ID == "" {
				t.Fatalf("a line is no record: %v: %q", err, line)
			}
			agents = agents || strings.Contains(line, "red/agent")
			denied = denied || strings.Contains(line, "said.listing") && strings.Contains(line, "forged")
			if strings.Contains(line, "forged") {
				ids = append(ids, d.ID)
			}
		}
		if !agents || !denied {
			return fmt.Errorf("not all are there")
		}
		return nil
	})
	look := func(result harness.Result) string {
		t.Helper()
		out := result.OK(t)
		if bad := harmful(out); bad != "" {
			t.Errorf("%v shows %s", result.Args, bad)
		}
		return out
	}
	for line := range strings.Lines(look(w.CLI("decisions", "tail", "-n", "1000"))) {
		if stamp, _, _ := strings.Cut(line, "  "); len(stamp) != len("2026-01-01T00:00:00Z") || !strings.HasSuffix(stamp, "Z") {
			t.Errorf("a line is none of ours: %q", line)
		}
	}
	look(w.CLI("decisions", "tail", "-n", "1000", "--json"))
	for line := range strings.Lines(look(w.CLI("decisions", "export"))) {
		if !strings.HasPrefix(line, `{"kind":"`) || !json.Valid([]byte(line)) {
			t.Errorf("a line of the export is none of ours: %q", line)
		}
	}
	for _, id := range ids[:min(len(ids), 3)] {
		look(w.CLI("decisions", "show", id))
		if out := look(w.CLI("decisions", "show", id, "--json")); !json.Valid([]byte(out)) {
			t.Errorf("%s", out)
		}
	}
	for _, object := range []string{"user", "project"} {
		look(w.CLI(object, "list"))
		look(w.CLI(object, "list", "--json"))
	}
	// An error of the server is told on one line.
	if said := w.CLI("decisions", "show", poison).Fails(t); harmful(strings.TrimRight(said, "\n")) != "" || strings.Contains(strings.TrimRight(said, "\n"), "\nforged") {
		t.Errorf("the command line says %s", strconv.Quote(said))
	}
}

// The name of a file is the author's text too.
func TestAFileOfThePolicyCannotForgeTheLog(t *testing.T) {
	a := newAuthor(t, "log:\n  format: json\n")
	name := "a\nlevel=ERROR msg=forged \x1b[2J\u202e.rego"
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte("package bondgate.rules.mine\n\n\u009b[31m \x1b[2J {"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the file is refused", func() error {
		if !strings.Contains(a.Log(), "policy folder is broken") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	for line := range strings.Lines(a.Log()) {
		if bad := harmful(line); bad != "" || strings.HasPrefix(line, "level=ERROR") {
			t.Errorf("%s: %q", bad, line)
		}
	}
	ready := a.as(admin, http.MethodGet, "/readyz", nil, nil)
	a.answerIsText(t, "readiness", ready)
	a.goodRuleHolds(t)

	// A server that is started on it says so on a terminal.
	said := harness.Run(t, nil, "", harness.Binary(t), "serve", "--policy", a.dir, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0").Fails(t)
	if bad := harmful(said); bad != "" || !strings.Contains(said, "rego_parse_error") {
		t.Errorf("%s: %q", bad, said)
	}
}
