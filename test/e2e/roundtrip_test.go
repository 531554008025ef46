package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(s[:])
}

// Every client pushes as a developer, and what it pushed every client pulls as a
// guest: the digest is the same in each of the places where somebody names it.
func TestWhatOneClientPushesEveryClientPulls(t *testing.T) {
	g := staffed(t, harness.Options{})
	pushed := map[string]string{} // digest by the client that pushed it
	for name, start := range clients {
		t.Run(name+" pushes", func(t *testing.T) {
			c := start(t)
			c.Login(g.Host, alice, password)
			ref := g.Ref(team+"/by-"+name, "1")
			digest := c.Push(harness.Image(t, harness.ImageSpec{Name: ref, User: "1000", Size: 256 << 10}), ref)
			if got := g.Digest(team+"/by-"+name, "1"); got != digest {
				t.Fatalf("%s says that it pushed %s, the server has %s", name, digest, got)
			}
			whole(t, g, team+"/by-"+name, digest)
			pushed[name] = digest
		})
	}
	for name, start := range clients {
		t.Run(name+" pulls", func(t *testing.T) {
			c := start(t)
			c.Login(g.Host, bob, password)
			for pusher, digest := range pushed {
				ref := g.Ref(team+"/by-"+pusher, "1")
				c.Pull(ref).OK(t)
				if got := c.Digest(ref); got != digest {
					t.Errorf("%s pulled %s of what %s pushed as %s", name, got, pusher, digest)
				}
			}
		})
	}
}

// The story of the README's first screen: a Debian that debootstrap made.
func TestDockerCarriesARealDebian(t *testing.T) {
	debian := harness.DebianTar(t)
	g := harness.StartGateway(t, harness.Options{})
	docker := harness.StartDocker(t)
	docker.Login(g.Host, harness.AdminUser, harness.AdminPassword)

	// The project does not exist: an administrator's first push makes it.
	amd64 := g.Ref("base/debian", "12-amd64")
	id := docker.Run("import", "--change", "CMD [\"bash\"]", debian, amd64).OK(t)
	digest := digestIn(t, docker.Run("push", amd64).OK(t))
	if projects := g.CLI("project", "list", "--json").OK(t); !strings.Contains(projects, `"base"`) {
		t.Errorf("the first push should have made the project base: %s", projects)
	}

	docker.Run("rmi", "--force", id).OK(t)
	docker.Run("pull", amd64).OK(t)
	if got := docker.Run("inspect", "--format", "{{.Id}}", amd64).OK(t); got != id {
		t.Errorf("pulled image %s, pushed %s", got, id)
	}
	container := docker.Run("create", amd64).OK(t)
	release := docker.Run("cp", container+":/etc/debian_version", "-")
	if said := release.OK(t); !strings.Contains(said, "12.") {
		t.Errorf("/etc/debian_version of what was pulled: %q", said)
	}

	// The same for two architectures under one tag.
	crane := harness.Crane(t)
	crane.Credentials(g.Host, harness.AdminUser, harness.AdminPassword)
	arm64 := g.Ref("base/debian", "12-arm64")
	crane.Run("mutate", "--set-platform", "linux/arm64", "--tag", arm64, amd64).OK(t)
	both := g.Ref("base/debian", "12")
	crane.Run("index", "append", "--manifest", amd64, "--manifest", arm64, "--tag", both).OK(t)
	platforms := children(t, g, "base/debian", "12")
	if platforms["amd64"] != digest || platforms["arm64"] != g.Digest("base/debian", "12-arm64") {
		t.Errorf("the index lists %v, amd64 is %s", platforms, digest)
	}
	for _, platform := range []string{"amd64", "arm64"} {
		docker.Run("rmi", "--force", both)
		said := docker.Run("pull", "--platform", "linux/"+platform, both).OK(t)
		if got, want := digestIn(t, said), g.Digest("base/debian", "12"); got != want {
			t.Errorf("docker pulled %s, the tag is %s", got, want)
		}
		if got := docker.Run("inspect", "--format", "{{.Architecture}}", both).OK(t); got != platform {
			t.Errorf("asked for %s, got %s", platform, got)
		}
	}
	whole(t, g, "base/debian", g.Digest("base/debian", "12"))
}

// pushIndex pushes, as Alice and in one command of buildah, an index of two small
// images for two architectures.
func pushIndex(t testing.TB, g *harness.Gateway, ref, user string) {
	t.Helper()
	buildah := harness.Buildah(t)
	buildah.Credentials(g.Host, alice, password)
	buildah.Run("manifest", "create", "both").OK(t)
	for _, arch := range []string{"amd64", "arm64"} {
		archive := harness.Image(t, harness.ImageSpec{Name: "local/" + arch + ":1", User: user, Architecture: arch})
		id := buildah.Run("pull", "--quiet", "docker-archive:"+archive).OK(t)
		buildah.Run("manifest", "add", "--arch", arch, "both", "containers-storage:"+id).OK(t)
	}
	buildah.Run("manifest", "push", "--all", "--tls-verify=false", "both", "docker://"+ref).OK(t)
}

func TestBuildahPushesAnIndexAndEverythingInIt(t *testing.T) {
	g := staffed(t, harness.Options{})
	ref := g.Ref(team+"/both", "1")
	pushIndex(t, g, ref, "1000")
	if got := children(t, g, team+"/both", "1"); len(got) != 2 {
		t.Fatalf("the index lists %v, want two architectures", got)
	}
	whole(t, g, team+"/both", g.Digest(team+"/both", "1"))

	skopeo := harness.Skopeo(t)
	skopeo.Credentials(g.Host, bob, password)
	skopeo.Run("copy", "--all", "--src-tls-verify=false", "docker://"+ref, "dir:"+t.TempDir()).OK(t)
}
