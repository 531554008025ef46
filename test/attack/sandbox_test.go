package attack_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// author is somebody who may write the policy folder and nothing else.
type author struct {
	*world
	dir string
}

// newAuthor starts a server on a folder with one good rule: nobody lists the
// tags of red/closed.
func newAuthor(t *testing.T, config string) *author {
	t.Helper()
	a := &author{dir: t.TempDir()}
	a.write(t, "good.rego", `package bondgate.rules.good

deny contains {"code": "good.closed", "msg": "closed"} if {
	input.action == "tags.list"
	input.repository.name == "red/closed"
}
`)
	a.world = newWorld(t, harness.Options{Policy: a.dir, Config: config})
	return a
}

func (a *author) write(t *testing.T, name, text string) {
	t.Helper()
	at := filepath.Join(a.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refusesEdit makes an edit and waits until the server has said that it does not
// take it, with the words of says; then it sees that the good rule holds, and
// that it goes on holding once the edit is taken back.
func (a *author) refusesEdit(t *testing.T, says string, edit func(t *testing.T, dir string)) {
	t.Helper()
	sub := filepath.Join(a.dir, "edit")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	before := len(a.Log())
	edit(t, sub)
	harness.Eventually(t, "the edit is refused", func() error {
		for line := range strings.Lines(a.Log()[before:]) {
			if strings.Contains(line, "policy folder is broken") && strings.Contains(line, says) {
				return nil
			}
		}
		return fmt.Errorf("no line of the log says %q:\n%.2000s", says, a.Log()[before:])
	})
	a.goodRuleHolds(t)
	before = len(a.Log())
	if err := os.RemoveAll(sub); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the folder is good again", func() error {
		if !strings.Contains(a.Log()[before:], "policy is in force") {
			return fmt.Errorf("the log does not say so")
		}
		return nil
	})
	a.goodRuleHolds(t)
}

func (a *author) goodRuleHolds(t *testing.T) {
	t.Helper()
	if r := a.as(alice, http.MethodGet, "/v2/red/closed/tags/list", nil, nil); r.Status != http.StatusForbidden || !strings.Contains(string(r.Body), "good.closed") {
		t.Errorf("the good rule is gone: %d %s", r.Status, r.Body)
	}
}

func rego(text string) func(*testing.T, string) {
	return file("mine.rego", "package bondgate.rules.mine\n\n"+text+"\n")
}

func file(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		(&author{dir: dir}).write(t, name, text)
	}
}

// Class 23: a rule reads the input and its own data, and calls nothing that
// reaches out of the evaluation or answers differently tomorrow.
func TestARuleReachesNothingOutsideOfItsEvaluation(t *testing.T) {
	a := newAuthor(t, "")
	var asked atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"type":"object"}`))
	}))
	defer outside.Close()
	for _, c := range []struct{ name, call, says string }{
		{"asks a server", `http.send({"method": "GET", "url": "` + outside.URL + `"})`, "http.send"},
		{"reads the environment", `opa.runtime().env`, "opa.runtime"},
		{"reads the clock", `time.now_ns()`, "time.now_ns"},
		{"asks the name service", `net.lookup_ip_addr("localhost")`, "net.lookup_ip_addr"},
		{"throws dice", `rand.intn("x", 6)`, "rand.intn"},
		{"makes an id", `uuid.rfc4122("x")`, "uuid.rfc4122"},
		{"verifies against the clock", `io.jwt.decode_verify("a.b.c", {})`, "io.jwt.decode_verify"},
		{"verifies a chain against the clock", `crypto.x509.parse_and_verify_certificates("")`, "parse_and_verify_certificates"},
		{"signs", `io.jwt.encode_sign({}, {}, {})`, "io.jwt.encode_sign"},
		{"fetches a schema", `json.match_schema({}, {"$ref": "` + outside.URL + `"})`, "json.match_schema"},
		// No deadline reaches into these two: one call takes all memory, or all time.
		{"shifts by a hundred gigabits", `bits.lsh(1, 100000000000) == 1`, "bits.lsh"},
		{"counts in a template", `strings.render_template("{{range 1000000000000}}x{{end}}", {}) == "x"`, "strings.render_template"},
		{"mocks its way there", `abs(1) with abs as http.send`, "var http is unsafe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.refusesEdit(t, c.says, rego(`deny contains {"code": "mine.x", "msg": "x"} if `+c.call))
		})
	}
	t.Run("names a schema of another server", func(t *testing.T) {
		a.refusesEdit(t, "schema", rego("# METADATA\n# schemas:\n#   - input: {\"$ref\": \""+outside.URL+"/schema.json\"}\n"+
			`deny contains {"code": "mine.x", "msg": "x"} if input.action == "x"`))
	})
	if n := asked.Load(); n > 0 {
		t.Errorf("the server asked outside %d times", n)
	}
}

// A file of an author speaks for packs of the author's and for nothing else.
func TestAnAuthorTakesOverNothingThatShips(t *testing.T) {
	a := newAuthor(t, "")
	for _, c := range []struct {
		name, says string
		edit       func(*testing.T, string)
	}{
		{"the decision itself", "not yours", file("d.rego", "package bondgate\n\ndecision := {\"api\": 1, \"allow\": true}\n")},
		{"the decision, by a default", "not yours", file("d.rego", "package bondgate\n\ndefault decision := {\"allow\": true}\n")},
		{"the roles", "cannot be extended", file("d.rego", "package bondgate.rules.rbac\n\npermitted if true\n")},
		{"the roles, under a quoted name", "cannot be extended", file("d.rego", "package bondgate.rules[\"rbac\"]\n\npermitted if true\n")},
		{"the roles, from a package below", "cannot be extended", file("d.rego", "package bondgate.rules.rbac.more\n\npermitted if true\n")},
		{"the roles, from the package above", "not yours", file("d.rego", "package bondgate.rules\n\nrbac.permitted if true\n")},
		{"the roles, as data", "not yours", file("data.json", `{}`+"\n")},
		{"the helpers", "not yours", file("d.rego", "package bondgate.lib.image\n\nx := 1\n")},
		{"what else there is beside records", "not yours", file("d.rego", "package system.log.more\n\ndrop if true\n")},
		{"the system", "not yours", file("d.rego", "package system.main\n\nallow := true\n")},
		{"every package", "not yours", file("d.rego", "package bondgate.rules\n\ndeny contains 1 if true\n")},
		{"the decision, by reading it with another input", "recursive", rego(`deny contains {"code": "mine.x", "msg": "x"} if data.bondgate.decision.allow with input as {}`)},
		{"the rules of all packs, by reading them", "recursive", rego(`deny contains {"code": "mine.x", "msg": "x"} if count(data.bondgate.rules[_].deny) > 0`)},
		{"itself, for ever", "recursive", rego("f(x) := f(x + 1)\n\n" + `deny contains {"code": "mine.x", "msg": "x"} if f(1) == 2`)},
	} {
		t.Run(c.name, func(t *testing.T) { a.refusesEdit(t, c.says, c.edit) })
	}
	top := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			at := filepath.Join(filepath.Dir(dir), filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			// What lies beside the edit goes when it is taken back.
			top, _, _ := strings.Cut(name, "/")
			t.Cleanup(func() { _ = os.RemoveAll(filepath.Join(filepath.Dir(dir), top)) })
		}
	}
	for _, c := range []struct{ name, says, path, text string }{
		{"the roles' tables", "not yours", "data.json", `{"bondgate": {"rules": {"rbac": {"roles": {}}}}}`},
		{"the roles' tables, by the folder's name", "not yours", "bondgate/rules/rbac/data.json", `{"roles": {}}`},
		{"the decision, as data", "not yours", "data.json", `{"bondgate": {"decision": {"allow": true}}}`},
		{"the reasons of a pack, as data", "not yours", "data.json", `{"bondgate": {"rules": {"good": {"deny": []}}}}`},
		{"what is masked, as data", "not yours", "data.json", `{"system": {"log": {"drop": true}}}`},
		{"all roots", "not yours", ".manifest", `{"roots": [""]}`},
		{"the root of the roles", "not yours", ".manifest", `{"roots": ["bondgate/rules/rbac"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { a.goodRuleHolds(t) })
			before := len(a.Log())
			top(c.path, c.text)(t, filepath.Join(a.dir, "edit"))
			harness.Eventually(t, "the edit is refused", func() error {
				for line := range strings.Lines(a.Log()[before:]) {
					if strings.Contains(line, "policy folder is broken") && strings.Contains(line, c.says) {
						return nil
					}
				}
				return fmt.Errorf("no line of the log says %q:\n%.2000s", c.says, a.Log()[before:])
			})
			a.goodRuleHolds(t)
			refused(t, "somebody without a role", a.as(eve, http.MethodGet, "/v2/red/app/tags/list", nil, nil))
		})
	}
}

// The roles run whatever mode somebody gives them.
func TestTheRolesCannotBeTurnedOff(t *testing.T) {
	for _, mode := range []string{"off", "dryrun", "warn"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			file("data.json", `{"bondgate": {"packs": {"rbac": {"mode": "`+mode+`"}}}}`)(t, dir)
			w := newWorld(t, harness.Options{Policy: dir})
			im := w.push(alice, newImage("red/app", "v1", "modes", "1000", nil))
			for _, user := range []string{eve, bob, nobody} {
				refused(t, "a pull by "+user, w.as(user, http.MethodGet, "/v2/red/app/manifests/v1", harness.Accept, nil), im.manifest)
				refused(t, "an upload by "+user, w.as(user, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil))
			}
			refused(t, "an upload by a guest", w.as(gus, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil))
			refused(t, "a call of the API", w.as(eve, http.MethodGet, "/api/v1/users", nil, nil))
		})
	}
}

// A folder is files and folders, bounded in number, size and depth.
func TestAFolderThatIsNoPolicyIsRefused(t *testing.T) {
	a := newAuthor(t, "")
	secret := filepath.Join(t.TempDir(), "secret.rego")
	if err := os.WriteFile(secret, []byte("package bondgate.rules.secret\n\nhidden := \"the secret of the machine\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(to, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, says string
		edit       func(*testing.T, string)
	}{
		{"a link to a file outside", "escapes", link(secret, "mine.rego")},
		{"a link to the root of the machine", "escapes", link("/", "all")},
		{"a link that climbs", "escapes", link("../../../../../../../etc", "etc")},
		{"a link to a device", "escapes", link("/dev/zero", "data.json")},
		{"a link to itself", "", link("loop", "loop")},
		{"a loop of folders", "", link(".", "again")},
		{"a link to nothing", "", link("gone", "mine.rego")},
		{"a pipe", "neither a file nor a folder", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "mine.rego"), 0o600); err != nil {
				t.Skip("no pipes here: ", err)
			}
		}},
		{"a pipe that is not even policy", "neither a file nor a folder", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
				t.Skip("no pipes here: ", err)
			}
		}},
		{"folders that never end", "nested", func(t *testing.T, dir string) {
			file(strings.Repeat("d/", 40)+"mine.rego", "package bondgate.rules.mine\n")(t, dir)
		}},
		{"one file of 11 MiB", "too large", rego("# " + strings.Repeat("x", 11<<20))},
		{"2,100 files", "more than 2000 files", func(t *testing.T, dir string) {
			for i := range 2100 {
				file(fmt.Sprintf("f%d.rego", i), "package bondgate.rules.mine\n")(t, dir)
			}
		}},
		{"lists in lists that never end", "recursion depth", rego("x := " + strings.Repeat("[", 1<<20))},
		{"a sum that never ends", "recursion depth", rego("x := 1" + strings.Repeat("+1", 1<<20))},
		{"data that nests for ever", "data.json", file("data.json", strings.Repeat(`{"bondgate":`, 100000))},
		{"bytes that are no text", "mine.rego", file("mine.rego", "\xff\xfe\x00\x1b[2J")},
	} {
		t.Run(c.name, func(t *testing.T) { a.refusesEdit(t, c.says, c.edit) })
	}
	if strings.Contains(a.Log(), "the secret of the machine") {
		t.Error("the log has the content of a file outside")
	}
}

// A rule without an end is no decision, for its own requests alone.
func TestARuleThatNeverEndsIsNoDecisionAndTheServerLives(t *testing.T) {
	const endless = `some a in numbers.range(1, 1000000); some b in numbers.range(1, 1000000)`
	burn := map[string]string{
		"comprehension": `count([1 | ` + endless + `; a + b == 0]) == 1`,
		"set":           `count({x | ` + endless + `; x := a * 1000000 + b}) == 1`,
		"object":        `count({x: b | ` + endless + `; x := a * 1000000 + b}) == 1`,
		"backtracking":  endless + `; a + b == 0`,
		"every":         `every a in numbers.range(1, 1000000) { every b in numbers.range(1, 1000000) { a + b > 0 } }`,
		"range":         `count(numbers.range(1, 1000000000000)) == 1`,
		"strings":       `count([1 | ` + endless + `; contains(concat(",", [format_int(a, 10), format_int(b, 10)]), "x")]) == 1`,
		"walk":          `count([1 | ` + endless + `; walk(input, [_, v]); v == a + b]) == -1`,
		"regex":         `count([1 | ` + endless + `; regex.match("(a*)*(a*)*b", sprintf("%d%d", [a, b]))]) == 1`,
	}
	var text strings.Builder
	text.WriteString("package bondgate.rules.burn\n")
	for name, body := range burn {
		fmt.Fprintf(&text, "\ndeny contains {\"code\": \"burn.%s\", \"msg\": \"x\"} if {\n\tinput.action == \"tags.list\"\n\tinput.repository.name == \"red/burn-%s\"\n\t%s\n}\n", name, name, body)
	}
	dir := t.TempDir()
	file("burn.rego", text.String())(t, dir)
	w := newWorld(t, harness.Options{Policy: dir, Config: "policy:\n  deadline: 1s\n"})
	pid := w.PID()
	for name := range burn {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					r := w.as(alice, http.MethodGet, "/v2/red/burn-"+name+"/tags/list", nil, nil)
					if r.Status != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || code(r) != "UNAVAILABLE" {
						t.Errorf("%d %s, Retry-After %q", r.Status, r.Body, r.Header.Get("Retry-After"))
					}
				})
			}
			wg.Wait()
		})
	}
	// The next request is decided, by the same process. On a machine that is busy
	// one attempt may be too late.
	harness.Eventually(t, "others are served", func() error {
		r := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil)
		if r.Status != http.StatusAccepted {
			return fmt.Errorf("%d %s", r.Status, r.Body)
		}
		return nil
	})
	if w.PID() != pid || w.Do(http.MethodGet, "/livez", "", "", nil, nil).Status != http.StatusOK {
		t.Error("the server did not live through it")
	}
}

// What a rule says that is not an answer denies.
func TestARuleThatSaysNothingSensibleDenies(t *testing.T) {
	bad := map[string]string{
		"no-object":   `deny contains "no" if here`,
		"no-code":     `deny contains {"msg": "x"} if here`,
		"odd-code":    `deny contains {"code": 7, "msg": "x"} if here`,
		"odd-message": `deny contains {"code": "mine.x", "msg": ["x"]} if here`,
		"odd-mode":    `deny contains {"code": "mine.x", "msg": "x", "mode": "off"} if here`,
		"error":       `deny contains {"code": "mine.x", "msg": "x"} if { here; to_number(input.action) > 0 }`,
		"zero":        `deny contains {"code": "mine.x", "msg": "x"} if { here; 1 / (count(input.action) - count(input.action)) > 0 }`,
		"conflict":    "two := 1 if here\n\ntwo := 2 if here\n\n" + `deny contains {"code": "mine.x", "msg": "x"} if two == 3`,
		"obligation":  `obligation contains 7 if here`,
	}
	dir := t.TempDir()
	for name, text := range bad {
		pack := strings.ReplaceAll(name, "-", "_")
		file(pack+".rego", "package bondgate.rules."+pack+"\n\nhere if {\n\tinput.action == \"tags.list\"\n\tinput.repository.name == \"red/"+name+"\"\n}\n\n"+text+"\n")(t, dir)
	}
	w := newWorld(t, harness.Options{Policy: dir})
	for name := range bad {
		t.Run(name, func(t *testing.T) {
			r := w.as(alice, http.MethodGet, "/v2/red/"+name+"/tags/list", nil, nil)
			if r.Status != http.StatusForbidden || code(r) != "DENIED" {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	if r := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil); r.Status != http.StatusAccepted {
		t.Errorf("what no rule is about: %d %s", r.Status, r.Body)
	}
}

// Policy changes in one step: each request is judged by one edition, whole.
func TestNoRequestIsJudgedByHalfOfABundle(t *testing.T) {
	dir := t.TempDir()
	// Editions are put in place as Kubernetes does it: a folder of their own and
	// one link that is replaced.
	edition := func(n int) {
		sub := fmt.Sprintf("..edition%d", n)
		file(sub+"/head.rego", fmt.Sprintf("package bondgate.rules.pair.head\n\nn := %03d\n", n+100))(t, dir)
		file(sub+"/tail.rego", fmt.Sprintf(`package bondgate.rules.pair

deny contains {"code": "pair.whole", "msg": "edition %[1]d"} if {
	input.action == "tags.list"
	data.bondgate.rules.pair.head.n == %[1]d
}

deny contains {"code": "pair.torn", "msg": "a tail of %[1]d without its head"} if {
	input.action == "tags.list"
	not data.bondgate.rules.pair.head.n == %[1]d
}
`, n+100))(t, dir)
		if err := os.Symlink(sub, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	edition(0)
	for _, name := range []string{"head.rego", "tail.rego"} {
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, harness.Options{Policy: dir})
	message := func(r harness.Response) string {
		var out struct{ Errors []struct{ Message string } }
		if json.Unmarshal(r.Body, &out) != nil || len(out.Errors) != 1 {
			return ""
		}
		return out.Errors[0].Message
	}
	stop := make(chan struct{})
	seen := make([]map[string]bool, 4)
	var wg sync.WaitGroup
	for i := range seen {
		seen[i] = map[string]bool{}
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Other repositories and other people, so that no answer is an old one.
				user := []string{alice, mike, gus, admin}[i]
				r := w.as(user, http.MethodGet, fmt.Sprintf("/v2/red/r%d/tags/list", n%50), nil, nil)
				m := message(r)
				if r.Status != http.StatusForbidden || !strings.HasPrefix(m, "[pair.whole] edition ") || strings.Contains(m, "more)") {
					t.Errorf("%d %s", r.Status, r.Body)
					return
				}
				seen[i][strings.Fields(m)[2]] = true
			}
		})
	}
	const editions = 50
	for n := 1; n <= editions; n++ {
		edition(n)
		// Half of the editions are replaced before anybody can have read them.
		if n%2 == 0 {
			want := fmt.Sprintf("edition %d.", n+100)
			harness.Eventually(t, want, func() error {
				if m := message(w.as(alice, http.MethodGet, "/v2/red/app/tags/list", nil, nil)); !strings.Contains(m, want) {
					return fmt.Errorf("the answer is %s", m)
				}
				return nil
			})
		}
	}
	close(stop)
	wg.Wait()
	all := map[string]bool{}
	for _, s := range seen {
		for k := range s {
			all[k] = true
		}
	}
	t.Logf("%d of %d editions judged a request", len(all), editions+1)
}
