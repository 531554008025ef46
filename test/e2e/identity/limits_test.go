package identity

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

func TestANameIsLockedAfterGuessesWhetherSomebodyHasItOrNot(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"))
	g := harness.StartGateway(t, harness.Options{Config: "limits:\n  logins: {failures: 3, lock: 10m, loopback: true}\nidentity:\n  ldap:\n" + startTLS("corp", corp, "")})
	g.AddUser("lola", password)
	g.AddUser("other", password)
	g.CLI("project", "create", "team").OK(t)
	ci := robot(t, g, "--project", "team", "ci")
	doors := map[string]func(user, secret string) harness.Response{
		"the registry": func(user, secret string) harness.Response { return g.Do("GET", "/v2/", user, secret, nil, nil) },
		"the token service": func(user, secret string) harness.Response {
			return askToken(g, user, secret, "repository:team/app:pull")
		},
		"the token service by POST": func(user, secret string) harness.Response {
			form := url.Values{"grant_type": {"password"}, "service": {g.Host}, "client_id": {"t"}, "username": {user}, "password": {secret}}
			return g.Do("POST", "/token", "", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, bytes.NewReader([]byte(form.Encode())))
		},
		"the management API": func(user, secret string) harness.Response {
			return g.Do("GET", "/api/v2.0/users/current", user, secret, nil, nil)
		},
	}
	names := map[string]string{"a local account": "lola", "somebody of a directory": "dana", "nobody": "nadia", "a robot": ci.Name, "a robot that is not there": "robot$team+none"}
	var first harness.Response
	for sentence, name := range names {
		// A guess at each of the doors: they count together.
		for door, knock := range doors {
			switch r := knock(name, "wrong at "+door); r.Status {
			case http.StatusUnauthorized, http.StatusBadRequest, http.StatusTooManyRequests:
			default:
				t.Errorf("%s, a wrong password at %s: %d %s", sentence, door, r.Status, r.Body)
			}
		}
		for door, knock := range doors {
			r := knock(name, password)
			wait, err := strconv.Atoi(r.Header.Get("Retry-After"))
			if r.Status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 600 {
				t.Errorf("%s at %s: %d, Retry-After %q: %s", sentence, door, r.Status, r.Header.Get("Retry-After"), r.Body)
			}
			if strings.Contains(string(r.Body), name) {
				t.Errorf("%s at %s: the answer is about the name: %s", sentence, door, r.Body)
			}
			if door == "the registry" {
				if first.Status == 0 {
					first = r
				}
				if a, b := ownWords.ReplaceAllString(string(first.Body), "_"), ownWords.ReplaceAllString(string(r.Body), "_"); a != b {
					t.Errorf("%s is told\n%s\nand others\n%s", sentence, b, a)
				}
			}
		}
	}
	for door, knock := range doors {
		if r := knock("other", password); r.Status != http.StatusOK {
			t.Errorf("another name at %s: %d %s", door, r.Status, r.Body)
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	g := harness.StartGateway(t, harness.Options{Config: "limits:\n  rates: {identity: {per_second: 1, burst: 20}, loopback: true}\n"})
	g.AddUser("lola", password)
	g.AddUser("lars", password)
	bounded := func(user string) (after int, last harness.Response) {
		for after = range 200 {
			if last = g.Do("GET", "/v2/", user, password, nil, nil); last.Status != http.StatusOK {
				return after, last
			}
		}
		return 200, last
	}
	for _, user := range []string{"lola", "lars"} { // each has a bound of their own
		after, r := bounded(user)
		if wait, err := strconv.Atoi(r.Header.Get("Retry-After")); r.Status != http.StatusTooManyRequests || err != nil || wait < 1 || after < 20 {
			t.Errorf("%s: after %d requests %d, Retry-After %q: %s", user, after, r.Status, r.Header.Get("Retry-After"), r.Body)
		}
		if !strings.Contains(string(bytes.TrimSpace(r.Body)), "TOOMANYREQUESTS") {
			t.Errorf("%s is told %s", user, r.Body)
		}
	}
}
