package identity

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	audience = "https://registry.acme.example"
	team     = "payments"
)

// client pushes an archive as somebody and pulls it again, and answers the digests
// of both.
type client func(t *testing.T, g *harness.Gateway, user, secret, archive, ref string) (pushed, pulled string)

func dockerClient(d *harness.Docker) client {
	return func(t *testing.T, g *harness.Gateway, user, secret, archive, ref string) (string, string) {
		c := d.With("DOCKER_CONFIG=" + t.TempDir())
		c.RunWithInput(secret, "login", "--username", user, "--password-stdin", g.Host).OK(t)
		c.Run("load", "--input", archive).OK(t)
		pushed := digestIn(t, c.Run("push", ref).OK(t))
		c.Run("rmi", "--force", ref).OK(t)
		c.Run("pull", ref).OK(t)
		return pushed, digestIn(t, c.Run("inspect", "--format", "{{index .RepoDigests 0}}", ref).OK(t))
	}
}

func ctrClient(c *harness.Containerd) client {
	return func(t *testing.T, _ *harness.Gateway, user, secret, archive, ref string) (string, string) {
		digest := func() string { return digestIn(t, c.Run("images", "ls", fmt.Sprintf("name==%q", ref)).OK(t)) }
		c.Run("images", "import", archive).OK(t)
		c.Run("images", "push", "--plain-http", "--user", user+":"+secret, ref).OK(t)
		pushed := digest()
		c.Run("images", "rm", "--sync", ref).OK(t)
		c.Run("images", "pull", "--plain-http", "--user", user+":"+secret, ref).OK(t)
		return pushed, digest()
	}
}

func craneClient(t *testing.T, g *harness.Gateway, user, secret, archive, ref string) (string, string) {
	c := harness.Crane(t)
	c.RunWithInput(secret, "auth", "login", g.Host, "--username", user, "--password-stdin").OK(t)
	pushed := digestIn(t, c.Run("push", archive, ref).OK(t))
	c.Run("pull", ref, filepath.Join(t.TempDir(), "pulled.tar")).OK(t)
	return pushed, c.Run("digest", ref).OK(t)
}

func TestEachKindOfIdentityPushesAndPullsWithEachClient(t *testing.T) {
	t.Parallel()
	// Dana is in developers, which is in platform, which has the role.
	corp := directory(t, person("dana"), group("developers", personDN("dana")), group("platform", groupDN("developers")))
	branch := directory(t, person("bela"), group("builders", personDN("bela")))
	issuer := harness.StartIssuer(t)
	g := harness.StartGateway(t, harness.Options{Config: "identity:\n  ldap:\n" + startTLS("corp", corp, "") + overTLS(t, "branch", branch) +
		fmt.Sprintf("  workloads:\n    - {name: ci, issuer: %q, audience: %q, insecure_plain_http: true}\n", issuer.URL, audience)})
	g.AddUser("lola", password)
	g.AddUser("petra", password)
	apply(t, g, fmt.Sprintf(`project: %s
visibility: private
members:
  - {group: platform, issuer: "ldap:corp", role: Developer}
  - {group: builders, issuer: "ldap:branch", role: Developer}
  - {user: lola, role: Developer}
  - {user: petra, role: Developer}
  - {workload: ci, issuer: %q, role: Developer, repositories: "payments/job-*", claims: {repository: acme/api, ref: refs/heads/main}}
`, team, issuer.URL))
	ci := robot(t, g, "--project", team, "--name", "ci", "--permissions", "read,write")
	pat := accessToken(t, g, "laptop", "--user", "petra", "--scope", team+":pull,push")
	job := issuer.Sign(issuer.Claims(audience, map[string]any{
		"sub": "repo:acme/api:ref:refs/heads/main", "repository": "acme/api", "ref": "refs/heads/main", "environment": "prod",
	}))
	if ci.Name != "robot$payments+ci" {
		t.Fatalf("the robot is called %s", ci.Name)
	}
	clients := map[string]client{
		"docker": dockerClient(harness.StartDocker(t)),
		"ctr":    ctrClient(harness.StartContainerd(t)),
		"crane":  craneClient,
	}
	for kind, who := range map[string]struct{ user, secret string }{
		"somebody of a directory with StartTLS": {"dana", password},
		"somebody of a directory with TLS":      {"bela", password},
		"a local account":                       {"lola", password},
		"a robot":                               {ci.Name, ci.Secret},
		"an access token":                       {"petra", pat.Secret},
		"a job":                                 {"job", job},
	} {
		for name, c := range clients {
			t.Run(kind+" with "+name, func(t *testing.T) {
				t.Parallel()
				short := kind[strings.LastIndex(kind, " ")+1:]
				ref := g.Ref(strings.ToLower(fmt.Sprintf("%s/%s-%s", team, short, name)), "1")
				pushed, pulled := c(t, g, who.user, who.secret, harness.Image(t, harness.ImageSpec{Name: ref, User: "1000"}), ref)
				if pushed != pulled {
					t.Errorf("pushed %s, pulled %s", pushed, pulled)
				}
				if c, ok := g.Do("HEAD", "/v2/"+strings.TrimSuffix(strings.TrimPrefix(ref, g.Host+"/"), ":1")+"/manifests/1",
					who.user, who.secret, harness.Accept, nil).Header["Docker-Content-Digest"]; !ok || c[0] != pushed {
					t.Errorf("the registry has %v, pushed was %s", c, pushed)
				}
			})
		}
	}
}
