package metadata

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bondgate/bondgate/policy"
)

// Keys of the installation itself, and the order of all changes.
var withoutWorkspace = map[string]bool{
	"PRIMARY KEY (kind, id)": true, "seq PRIMARY KEY": true,
	"PRIMARY KEY (kind)": true,                             // numbers are the installation's: a log names them without a workspace
	"PRIMARY KEY (name)": true, "PRIMARY KEY (host)": true, // workspaces themselves
}

func TestTheWorkspaceIsInEveryUniqueKey(t *testing.T) {
	key := regexp.MustCompile(`(?:(\w+) [^\n(,]*)?PRIMARY KEY( \([^)]*\))?|UNIQUE[^\n]*`)
	for _, dialect := range []string{"sqlite", "postgres"} {
		files, err := fs.Glob(migrations, "migrations/"+dialect+"/*.sql")
		must(t, err)
		var sql string
		for _, file := range files {
			raw, err := migrations.ReadFile(file)
			must(t, err)
			sql += string(raw)
		}
		all := key.FindAllStringSubmatch(sql, -1)
		if len(all) < 30 {
			t.Errorf("%s has %d unique keys", dialect, len(all))
		}
		for _, m := range all {
			what := strings.TrimSpace(m[0])
			if m[1] != "" && m[2] == "" {
				what = m[1] + " PRIMARY KEY"
			}
			if !strings.Contains(what, "(workspace, ") && !withoutWorkspace[what] {
				t.Errorf("%s: %s", dialect, what)
			}
		}
	}
}

func TestSubjectAllocatesNothing(t *testing.T) {
	v := &view{
		people: map[personKey]personFacts{{"default", identity{policy.LocalIssuer, "alice"}}: {}},
		projects: map[named]*projectFacts{{"default", "p"}: {
			users:  map[identity]*standing{{policy.LocalIssuer, "alice"}: {roles: 2}},
			groups: map[identity]*standing{{policy.LocalIssuer, "team"}: {roles: 4}},
		}},
	}
	grants := newReach([]RobotGrant{{Project: AnyProject, Rights: []string{"pull"}}, {Project: "p", Rights: []string{"push"}}})
	v.people[personKey{"default", identity{policy.LocalIssuer, "liz"}}] = personFacts{links: &personLinks{main: identity{policy.LocalIssuer, "alice"}}}
	v.admins = map[string]adminGroups{"default": {{"other", "team"}: {}}}
	linked := policy.Principal{Issuer: policy.LocalIssuer, ID: "liz", Kind: policy.KindUser}
	at := time.Now()
	v.robots = map[numbered]*robotFacts{{"default", 7}: {expires: at.Add(time.Hour), reach: grants}}
	v.tokens = map[numbered]*tokenFacts{{"default", 7}: {owner: identity{policy.LocalIssuer, "alice"}, limited: true, reach: grants}}
	v.hosts = map[string]string{"prod.example.com": "prod"}
	p := policy.Principal{Issuer: policy.LocalIssuer, ID: "alice", Kind: policy.KindUser, Groups: []string{"team"}}
	robot := policy.Principal{Issuer: RobotIssuer, ID: "robot$ci", Kind: policy.KindRobot, Credential: "robot:7"}
	token := withToken(p, 7)
	if n := testing.AllocsPerRun(100, func() {
		if len(v.Subject(p, "p", at).Roles) != 2 || v.Waivers(repo, "sha256:x", at) != nil {
			t.Error("wrong answer")
		}
		if len(v.Subject(linked, "p", at).Roles) != 1 {
			t.Error("wrong answer for somebody who is linked")
		}
		if len(v.Subject(robot, "p", at).Grants) != 2 || len(v.Subject(token, "q", at).Limits) != 1 {
			t.Error("wrong answer for a credential")
		}
		if name, _ := v.Workspace("prod.example.com:443"); name != "prod" {
			t.Error("wrong workspace")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCacheInstallsNothingOlderThanAChange(t *testing.T) {
	key := cacheKey{cachedTag, repo, "v1"}
	for name, change := range map[string]func(c *cache){
		"a change of the key":        func(c *cache) { c.changed(repo, []cacheKey{key}) },
		"a change of another key":    func(c *cache) { c.changed(repo, nil) },
		"a change of the repository": func(c *cache) { c.changedAll(repo) },
		"a change of everything":     func(c *cache) { c.clear() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(1 << 20)
			before := c.begin(repo)
			change(c)
			c.install(before, key, "stale", 1)
			if _, ok := c.get(key); ok {
				t.Error("what was read before it is answered after it")
			}
			c.install(c.begin(repo), key, "fresh", 1)
			if v, ok := c.get(key); !ok || v != "fresh" {
				t.Error("what was read after it is not answered")
			}
		})
	}
}

func TestCacheForgetsWhatChanged(t *testing.T) {
	c := newCache(1 << 20)
	one, two := cacheKey{cachedTag, repo, "v1"}, cacheKey{cachedTag, repo, "v2"}
	fill := func() {
		c.install(c.begin(repo), one, 1, 1)
		c.install(c.begin(repo), two, 2, 1)
	}
	has := func(key cacheKey) bool { _, ok := c.get(key); return ok }
	fill()
	c.changed(repo, []cacheKey{one})
	same(t, fmt.Sprint(has(one), has(two)), "false true")
	fill()
	c.changedAll(repo)
	same(t, fmt.Sprint(has(one), has(two)), "false false")
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(cacheShards * 4096)
	hot := cacheKey{cachedTag, repo, "hot"}
	c.install(c.begin(repo), hot, "hot", 100)
	for i := range 10_000 {
		c.install(c.begin(repo), cacheKey{cachedTag, repo, fmt.Sprint(i)}, i, 100)
		if _, ok := c.get(hot); !ok {
			t.Fatalf("what is used all the time went after %d others", i)
		}
	}
	c.install(c.begin(repo), cacheKey{cachedTag, repo, "huge"}, "huge", 1<<20)
	total, entries := int64(0), 0
	for i := range c.shards {
		total += c.shards[i].cost
		entries += len(c.shards[i].entries)
	}
	if total > cacheShards*4096 || entries > 1000 || entries < 100 {
		t.Fatalf("%d bytes in %d entries", total, entries)
	}
}

func TestDSN(t *testing.T) {
	for _, dsn := range []string{"", "mysql://x", "sqlite:", "sqlite::memory:", "/a/b", "postgres:secret"} {
		_, err := Open(t.Context(), Config{DSN: dsn})
		is(t, err, policy.ErrInvalid)
	}
}
