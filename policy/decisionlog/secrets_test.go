package decisionlog

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/policy"
)

var testKey = []byte("0123456789abcdef0123456789abcdef")

const (
	someJWT   = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLXNvbWVib2R5"
	someToken = "bgp_" + "4mXb0vQ9cT1kLr8sYw2uNh7pZe3aGf6dJi5oKqMtVxCzRbSnDgEhFl"
	someKey   = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"
)

// hide is a text as it is recorded.
func hide(s string) string {
	c := canonical{key: testKey}
	c.text(s)
	var out string
	if err := json.Unmarshal(c.buf, &out); err != nil {
		panic(err)
	}
	return out
}

func TestASecretInATextIsHiddenAndTheRestIsNot(t *testing.T) {
	for _, test := range []struct{ name, text, secret string }{
		{"a token of ours", "/v2/red/" + someToken + "/manifests/1", someToken},
		{"a robot's", "robot$ci bgr_4mXb0vQ9cT1kLr8sYw2uNh7pZe3aGf6dJi5oKqMtVxCz", "bgr_4mXb0vQ9cT1kLr8sYw2uNh7pZe3aGf6dJi5oKqMtVxCz"},
		{"a JWT", "got " + someJWT + ", which is old", someJWT},
		{"a token of GitHub", "x ghp_16C7e42F292c6912E7710c838347Ae178B4a y", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"},
		{"a fine-grained token of GitHub", "/v2/github_pat_11AAAAAAA0bbbbbbbbbbbb_cccccc/tags/list", "github_pat_11AAAAAAA0bbbbbbbbbbbb_cccccc"},
		{"a token of GitLab", "glpat-ABCDEFGHIJ0123456789", "glpat-ABCDEFGHIJ0123456789"},
		{"a key of AWS", "key AKIAIOSFODNN7EXAMPLE.", "AKIAIOSFODNN7EXAMPLE."},
		{"a token of Slack", "xoxb-123456789012-abcdef", "xoxb-123456789012-abcdef"},
		{"a key of Stripe", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"},
		{"a token of npm", "npm_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "npm_ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
		{"a token of Vault", "hvs.CAESIJ0123456789abcdefgh", "hvs.CAESIJ0123456789abcdefgh"},
		{"a token of Google", "ya29.a0AfH6SMB0123456789abcdef", "ya29.a0AfH6SMB0123456789abcdef"},
		{"a private key", "x " + someKey + " y", someKey},
		{"a private key that is cut off", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow"},
		{"basic credentials", "curl Basic YWxpY2U6aHVudGVyMg== x", "YWxpY2U6aHVudGVyMg=="},
		{"short basic credentials", "basic YTpi", "YTpi"},
		{"a bearer token", "BEARER abcdef012345;", "abcdef012345;"},
		{"a bearer token in a URL", "/v2/Bearer%20abcdef012345", "abcdef012345"},
		{"userinfo", "https://alice:hunter2@git.acme/api", "alice:hunter2"},
		{"a token as userinfo", "https://s3cr3t@git.acme/api", "s3cr3t"},
		{"a password with a slash in a URL", "postgres://bg:hun/ter2@db/x", "bg:hun/ter2"},
		{"a pair of a query", "/v2/?access_token=abc&n=1", "abc"},
		{"an escaped pair", "/v2/x/password%3Dhunter2", "hunter2"},
		{"a pair in words", "docker (password = hunter2)", "hunter2)"},
		{"a password in quotes", `password="hunter 2" x`, "hunter 2"},
		{"a password with a quote in quotes", `password="hunter\"2" x`, `hunter\"2`},
		{"a line of YAML", "password: hunter", "hunter"},
		{"a token in YAML", "token: hunter2x", "hunter2x"},
		{"JSON in text", `{"name":"x","secret":"abc","n":1}`, "abc"},
		{"JSON in JSON in text", `{\"token\":\"abc\",\"n\":1}`, "abc"},
		{"a form's field", "user[password]=hunter2&x=1", "hunter2"},
		{"a header", "Authorization: Digest username=x, response=y", "Digest username=x, response=y"},
		{"a name in another style", "DB_PASS_WORD=x", "x"},
		{"a name of two words", "secret-access-key=abc", "abc"},
	} {
		got := hide(test.text)
		want := strings.Replace(test.text, test.secret, hidden(testKey, appendString(nil, test.secret)), 1)
		if got != want {
			t.Errorf("%s: %q became %q, want %q", test.name, test.text, got, want)
		}
	}
}

func TestWhatIsNoSecretIsLeftAsItIs(t *testing.T) {
	for _, text := range []string{
		"", "a", "sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
		"/v2/payments/api/manifests/1.4.2", "application/vnd.oci.image.layer.v1.tar+gzip", "2026-09-21T14:13:20Z",
		"docker/29.0 go/go1.26 git-commit/abc kernel/6.1 os/linux arch/amd64 UpstreamClient(Docker-Client/29.0 \\(linux\\))",
		"spiffe://acme/ns/prod/sa/kubelet", "https://git.acme:8443/api?x=1", "ssh://git@github.com/acme/api", "pkg:deb/debian/openssl@3.0.1?arch=amd64",
		"verify the token: it is expired", "read the secret: context deadline exceeded", "access-token:create alice", "user:passwd alice",
		"a basic question", "Bearer token", "basic authentication", "bearer authentication",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		`{"payload":"eyJhcGlWZXJzaW9uIjoiMC4wLjEiLCJraW5kIjoicmVrb3JkIn0="}`,
		"robot$ci", "alice@acme.example", "compass=north", "keyboard=de", "monkey: banana", "ghp_short", "AKIA", "password", "password=", "token:", "=x", ":x", "_", "-",
		"\u00e9\u2028\x00", "hmac:0123456789abcdef",
	} {
		if got := hide(text); got != strings.ToValidUTF8(text, "\ufffd") {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestTwoSecretsInOneTextAreBothHidden(t *testing.T) {
	got := hide("password=one&token=two " + someToken + " https://a:b@c " + someJWT)
	for _, secret := range []string{"one", "two", someToken, "a:b", someJWT} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is left in %q", secret, got)
		}
	}
	if n := strings.Count(got, "hmac:"); n != 5 {
		t.Errorf("%d are hidden in %q", n, got)
	}
}

func TestEveryTokenIsFoundByItsTellingByte(t *testing.T) {
	for _, token := range tokens {
		s := token.prefix + strings.Repeat("a1B2", 12)
		if token.prefix == "eyJ" {
			s += "." + s
		}
		for _, text := range []string{s, "x " + s, "/" + s + "/y"} {
			if got := hide(text); strings.Contains(got, "a1B2") {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	for last, names := range secretNames {
		for _, n := range names {
			if n.name[len(n.name)-1] != byte(last) {
				t.Errorf("%s is among the names that end in %c", n.name, last)
			}
			for _, name := range []string{n.name, strings.ToUpper(n.name), "x_" + n.name} {
				if got := hide(name + "=hunter2"); strings.Contains(got, "hunter2") {
					t.Errorf("%s=hunter2 became %q", name, got)
				}
			}
		}
	}
}

func TestAMemberThatIsNamedASecretIsHidden(t *testing.T) {
	in := map[string]any{
		"token":   map[string]any{"service": "reg", "requested": []any{"x"}},
		"secret":  "one",
		"subject": map[string]any{"auth": "password", "claims": map[string]any{"refresh-token": "two", "token": map[string]any{"x": "three"}, "pin": 1}},
		"admin": map[string]any{"after": map[string]any{
			"password": 12345, "must_change_password": true, "oldPassword": nil, "new_password": "", "token_ttl_s": 300, "Private-Key": []string{"four"}, "digest": "five",
		}},
		"labels": map[string]any{"com.acme.password": "six", someToken: "seven", "tier": "prod"},
	}
	c := canonical{key: testKey}
	if err := c.root(in, nil); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"one", "two", "three", "12345", "four", "six", someToken} {
		if strings.Contains(string(c.buf), secret) {
			t.Errorf("%q is left in %s", secret, c.buf)
		}
	}
	for _, known := range []string{`"service":"reg"`, `"auth":"password"`, `"must_change_password":true`, `"oldPassword":null`, `"new_password":""`, `"token_ttl_s":300`, `"digest":"five"`, `"pin":1`, "seven", "prod"} {
		if !strings.Contains(string(c.buf), known) {
			t.Errorf("%s is not in %s", known, c.buf)
		}
	}
	want := []string{"admin.after.Private-Key", "admin.after.password", "labels", "secret", "subject.claims.refresh-token", "subject.claims.token"}
	slices.Sort(c.hits)
	if !slices.Equal(c.hits, want) {
		t.Errorf("hidden at %q, want %q", c.hits, want)
	}
}

func TestThePathsOfWhatIsHiddenAreBounded(t *testing.T) {
	many := make([]any, 10_000)
	for i := range many {
		many[i] = "password=hunter2"
	}
	c := canonical{key: testKey}
	if err := c.root(map[string]any{"a": map[string]any{"b": many}}, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.hits, []string{"a.b"}) {
		t.Errorf("%d paths: %.200q", len(c.hits), c.hits)
	}
}

// No secret is left of a known kind, whatever stands around it, and nothing but
// a secret is touched.
func FuzzNoSecretIsLeftInAText(f *testing.F) {
	for _, s := range []string{"", "/v2/", "x=", "password", `{"a":"`, "\xff\x00", "https://", "Basic ", "eyJ", "-----BEGIN ", "%3D", "token: ", "hmac:"} {
		f.Add(s, " "+s)
	}
	secrets := []string{someToken, "ghp_16C7e42F292c6912E7710c838347Ae178B4a", someJWT, "AKIAIOSFODNN7EXAMPLE"}
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, "hmac:") {
			t.Skip()
		}
		for _, secret := range secrets {
			text := before + secret + after
			got := hide(text)
			if strings.Contains(got, secret) {
				t.Errorf("%q became %q", text, got)
			}
			if text = before + " password=" + secret[4:] + " " + after; strings.Contains(hide(text), secret[4:]) {
				t.Errorf("%q became %q", text, hide(text))
			}
		}
		// What is around secrets stays: the parts between the hashes are parts of the text.
		text, at := string([]rune(before+after)), 0
		for i, piece := range strings.Split(hide(before+after), "hmac:") {
			if i > 0 {
				piece = piece[16:]
			}
			next := strings.Index(text[at:], piece)
			if next < 0 {
				t.Fatalf("%q is not in %q from %d on", piece, text, at)
			}
			at += next + len(piece)
		}
	})
}

// What a client sends must not cost more than in proportion to its length. Were
// it the square, this test would take hours.
func TestHostileTextIsReadInLinearTime(t *testing.T) {
	for _, piece := range []string{
		"eyJ", "://:a", "://a:1", "password=\"", "token:", "-----BEGIN ", "-----BEGIN PRIVATE KEY", "Basic ", "ghp_", "sk_live_", "%3D", "d=", "_d=", "a='", `\"token\":\"`, "npm_a ",
	} {
		text := strings.Repeat(piece, (1<<20)/len(piece))
		if got := hide(text + " " + someToken); strings.Contains(got, someToken) {
			t.Errorf("a MiB of %q hides a token", piece)
		}
	}
}

// What a mask hides is not there, and whatever is written is a document.
func FuzzAMaskedDocumentIsOneAndHidesWhatItShould(f *testing.F) {
	f.Add(`{"a":{"b":"seen","c":[{"d":1},{"d":2}]},"password":"x"}`, "a.b")
	f.Add(`{"a":[[{"b":"`+strings.Repeat("x", 600)+`"}],null],"$fact":{"b":true}}`, "a.0.0.b")
	f.Add(`{"":{"a.b":{"ghp_16C7e42F292c6912E7710c838347Ae178B4a":1}}}`, ".a.b")
	f.Fuzz(func(t *testing.T, text, dotted string) {
		v, err := decode([]byte(text))
		doc, ok := v.(map[string]any)
		if err != nil || !ok {
			t.Skip()
		}
		path := strings.Split(dotted, ".")
		for _, one := range []policy.RecordMask{{Path: path}, {Path: path, Upsert: true, Value: "given"}} {
			c := canonical{key: testKey}
			if c.root(doc, (*mask)(nil).with([]policy.RecordMask{one})) != nil {
				t.Skip()
			}
			got, err := decode(c.buf)
			if err != nil {
				t.Fatalf("%s: %v", c.buf, err)
			}
			was, there := reach(doc, path)
			now, _ := reach(got, path)
			if text, hidden := now.(string); there && was != nil && !one.Upsert && (!hidden || !strings.HasPrefix(text, "hmac:")) {
				t.Errorf("at %q of %s is %v", path, c.buf, now)
			}
			if there && was != nil && len(c.hits) == 0 {
				t.Errorf("nothing is named of what %s hides", c.buf)
			}
		}
	})
}

// reach is what stands at a path whose keys are written as they are stored: names of secrets,
// and keys that begin with "$" or are secrets themselves, are not gone through.
func reach(v any, path []string) (any, bool) {
	for i, key := range path {
		object, ok := v.(map[string]any)
		if !ok || strings.HasPrefix(key, "$") || namesSecret(key) && i < len(path)-1 {
			return nil, false
		}
		if _, _, to := survey(key); to > 0 {
			return nil, false
		}
		if v, ok = object[key]; !ok {
			return nil, false
		}
	}
	return v, true
}
