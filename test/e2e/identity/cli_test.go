package identity

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Each verb as it is typed, on the machine of the server.
func TestAnOperatorRunsTheRegistryFromTheCommandLine(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("dana"), group("developers", personDN("dana")), group("platform", groupDN("developers")))
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "")})
	issuer := "ldap:corp"
	// Nobody is made by looking, and nobody has a role before a first login.
	for range 2 {
		if out := g.CLI("auth", "test", "--provider", "corp", "--user", "dana", "--json").OK(t); !strings.Contains(out, `"known": false`) {
			t.Errorf("before the first login: %s", out)
		}
	}
	if r := g.Do("GET", "/v2/", "dana", password, nil, nil); r.Status != 200 {
		t.Fatalf("the first login: %d %s", r.Status, r.Body)
	}
	for _, step := range []struct {
		args []string
		// says are parts of what is printed.
		says []string
	}{
		{[]string{"workspace", "create", "blue", "--host", "blue.example.org", "--description", "a tenant", "--json"}, []string{`"name"`, `"password"`}},
		{[]string{"workspace", "set", "blue", "--host", "blue.example.org,azure.example.org", "--json"}, []string{"azure.example.org"}},
		{[]string{"workspace", "list", "--json"}, []string{`"blue"`, `"default"`}},
		{[]string{"project", "create", "--name", "web", "--workspace", "blue", "--visibility", "private", "--description", "d", "--json"}, []string{`"web"`}},
		{[]string{"project", "list", "--workspace", "blue", "--json"}, []string{`"web"`}},
		{[]string{"robot", "create", "--name", "all", "--workspace", "blue", "--permissions", "read,write", "--description", "d", "--json"}, []string{`robot$all`, `bgr_`}},
		{[]string{"project", "create", "--name", "payments", "--visibility", "private", "--description", "d", "--json"}, []string{`"payments"`}},
		{[]string{"user", "add", "lola", "--json"}, []string{`"lola"`, `"password"`}},
		{[]string{"user", "list", "--json"}, []string{`"lola"`}},
		{[]string{"role", "set", "cleaning", "--rights", "pull,delete", "--json"}, []string{`"cleaning"`}},
		{[]string{"role", "list", "--json"}, []string{`"delete"`}},
		{[]string{"member", "add", "payments", "platform", "--group", "--issuer", issuer, "--role", "Developer", "--json"}, []string{`"developer"`}},
		{[]string{"member", "add", "payments", "lola", "cleaning", "--repositories", "payments/web-*", "--json"}, []string{`payments/web-*`}},
		{[]string{"member", "list", "payments", "--json"}, []string{`"platform"`, `"lola"`}},
		{[]string{"robot", "create", "--project", "payments", "--name", "ci", "--permissions", "read,write", "--json"}, []string{`robot$payments+ci`, `bgr_`}},
		{[]string{"member", "add", "payments", "payments+ci", "cleaning", "--robot", "--json"}, []string{`"robot"`}},
		{[]string{"robot", "list", "--project", "payments", "--json"}, []string{`robot$payments+ci`}},
		{[]string{"robot", "rotate", "ci", "--project", "payments", "--json"}, []string{`bgr_`}},
		{[]string{"robot", "disable", "ci", "--project", "payments", "--json"}, []string{`"disable": true`}},
		{[]string{"robot", "enable", "ci", "--project", "payments", "--json"}, []string{`"disable": false`}},
		{[]string{"token", "create", "laptop", "--user", "lola", "--scope", "payments/web-*:pull", "--days", "1", "--json"}, []string{`bgp_`}},
		{[]string{"token", "list", "--user", "lola", "--json"}, []string{`"laptop"`}},
		{[]string{"auth", "test", "--provider", "corp", "--user", "dana", "--json"}, []string{`"uid=dana,`, `"platform"`, `"developers"`, `"developer"`}},
		{[]string{"project", "show", "payments", "--json"}, []string{`"platform"`}},
		{[]string{"user", "disable", "lola", "--json"}, []string{`"disabled": true`}},
		{[]string{"user", "enable", "lola", "--json"}, []string{`"disabled": false`}},
		{[]string{"user", "passwd", "lola", "--json"}, []string{`"password"`}},
		{[]string{"member", "remove", "payments", "lola", "--repositories", "payments/web-*", "--json"}, []string{"lola"}},
		{[]string{"member", "remove", "payments", "payments+ci", "--robot", "--json"}, []string{"payments+ci"}},
		{[]string{"role", "delete", "cleaning", "--json"}, []string{"cleaning"}},
		{[]string{"robot", "delete", "ci", "--project", "payments", "--json"}, []string{"ci"}},
	} {
		r := g.CLI(step.args...)
		out := r.OK(t)
		if !json.Valid([]byte(out)) {
			t.Errorf("%s prints no JSON: %s", strings.Join(step.args, " "), out)
		}
		for _, word := range step.says {
			if !strings.Contains(out, word) {
				t.Errorf("%s does not say %s: %s", strings.Join(step.args, " "), word, out)
			}
		}
	}
	if said := g.CLI("auth", "test", "--provider", "corp", "--user", "nobody").Fails(t); !strings.Contains(said, "not") {
		t.Errorf("auth test of nobody says %q", said)
	}
	if said := g.CLI("auth", "test", "--provider", "none", "--user", "dana").Fails(t); !strings.Contains(said, "none") {
		t.Errorf("auth test of a directory that is not there says %q", said)
	}
}

// The same program from another machine, as whoever is logged in there.
func TestPeopleRunTheirProjectsFromAfar(t *testing.T) {
	t.Parallel()
	corp := directory(t, person("paula"), group("leads", personDN("paula")))
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "")})
	for _, name := range []string{"dev", "gert"} {
		g.AddUser(name, password)
	}
	admin := func(args ...string) harness.Result {
		return as(t, g.Host, harness.AdminUser, harness.AdminPassword, args...)
	}
	paula := func(args ...string) harness.Result { return as(t, g.Host, "paula", password, args...) }
	dev := func(args ...string) harness.Result { return as(t, g.Host, "dev", password, args...) }
	admin("project", "create", "--name", "team", "--visibility", "private", "--json").OK(t)
	admin("project", "create", "--name", "other").OK(t)
	admin("member", "add", "team", "leads", "--group", "--issuer", "ldap:corp", "--role", "projectAdmin").OK(t)

	// Whoever leads the project does what is the project's, and nothing beyond.
	paula("member", "add", "team", "dev", "--role", "developer").OK(t)
	if out := paula("project", "show", "team", "--json").OK(t); !strings.Contains(out, `"dev"`) {
		t.Errorf("the project has %s", out)
	}
	ci := printed[made](t, paula("robot", "create", "--project", "team", "--name", "ci", "--permissions", "write", "--json"))
	push(t, g, ci.Name, ci.Secret, "team/app").OK(t)
	for sentence, r := range map[string]harness.Result{
		"a robot of another project":    paula("robot", "create", "--project", "other", "--name", "x", "--permissions", "read"),
		"a robot of the system":         paula("robot", "create", "--for", "team", "--name", "x", "--permissions", "read"),
		"a project":                     paula("project", "create", "mine"),
		"a workspace":                   paula("workspace", "create", "mine"),
		"an account":                    paula("user", "add", "eve"),
		"a role":                        paula("role", "set", "all", "--rights", "pull,push,delete,members,manage"),
		"somebody else's token":         paula("token", "create", "x", "--user", "dev"),
		"the directory":                 paula("auth", "test", "--provider", "corp", "--user", "paula"),
		"a member by a developer":       dev("member", "add", "team", "gert", "--role", "guest"),
		"a robot by a developer":        dev("robot", "create", "--project", "team", "--name", "x", "--permissions", "read"),
		"the project of others by name": dev("project", "show", "other"),
	} {
		if r.Err == nil {
			t.Errorf("%s: %s", sentence, r.Said())
		}
	}
	// Everybody has tokens of their own, which are worth what they are given.
	narrow := printed[made](t, dev("token", "create", "ci", "--scope", "team:pull", "--json"))
	pull(t, g, "dev", narrow.Secret, "team/app").OK(t)
	push(t, g, "dev", narrow.Secret, "team/app").Fails(t)
	as(t, g.Host, "dev", narrow.Secret, "token", "create", "wider").Fails(t)
	if r := pull(t, g, "gert", narrow.Secret, "team/app"); r.Err == nil {
		t.Error("a token is good under another name")
	}
	var all []struct {
		Name     string
		LastUsed *string `json:"last_used"`
		Secret   string
	}
	if err := json.Unmarshal([]byte(dev("token", "list", "--json").OK(t)), &all); err != nil || len(all) != 1 || all[0].Name != "ci" || all[0].Secret != "" {
		t.Errorf("dev's tokens: %v %v", all, err)
	}
	// What people see of projects is theirs.
	names := func(r harness.Result) []string {
		out := []string{}
		for _, p := range printed[[]struct{ Name string }](t, r) {
			out = append(out, p.Name)
		}
		return out
	}
	if got := names(dev("project", "list", "--json")); !slices.Equal(got, []string{"team"}) {
		t.Errorf("dev sees %v", got)
	}
	if got := names(as(t, g.Host, "gert", password, "project", "list", "--json")); len(got) != 0 {
		t.Errorf("gert sees %v", got)
	}
	if said := as(t, g.Host, "dev", "wrong-Horse-7", "project", "list").Fails(t); strings.Contains(said, "wrong-Horse-7") {
		t.Errorf("the password is shown: %s", said)
	}
}
