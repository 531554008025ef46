package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// client is a program that pushes and pulls images, each with its own words for it.
type client interface {
	// Login stores a person's credentials for a host.
	Login(host, user, password string)
	// Push reads an archive of `docker save` whose image is named ref and pushes
	// it there, and answers the digest that the client says it pushed.
	Push(archive, ref string) string
	// Pull fetches ref anew, and answers what was said.
	Pull(ref string) harness.Result
	// Digest is that of the manifest which the last successful Pull of ref got.
	Digest(ref string) string
}

// clients makes each of the clients that the README names.
var clients = map[string]func(t testing.TB) client{
	"docker":  func(t testing.TB) client { return &dockerClient{t: t, docker: harness.StartDocker(t)} },
	"podman":  func(t testing.TB) client { return &storageClient{t: t, tool: harness.Podman(t)} },
	"buildah": func(t testing.TB) client { return &storageClient{t: t, tool: harness.Buildah(t)} },
	"skopeo": func(t testing.TB) client {
		return &skopeoClient{t: t, tool: harness.Skopeo(t), dirs: map[string]string{}}
	},
	"ctr":    func(t testing.TB) client { return &ctrClient{t: t, containerd: harness.StartContainerd(t)} },
	"crane":  func(t testing.TB) client { return &craneClient{t: t, tool: harness.Crane(t)} },
	"regctl": func(t testing.TB) client { return &regctlClient{t: t, tool: harness.Regctl(t)} },
}

var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// digestIn answers the last digest that a client printed.
func digestIn(t testing.TB, said string) string {
	t.Helper()
	all := digestPattern.FindAllString(said, -1)
	if len(all) == 0 {
		t.Fatalf("no digest in: %s", said)
	}
	return all[len(all)-1]
}

func digestOfFile(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func readDigest(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// dockerClient is docker with a daemon of its own.
type dockerClient struct {
	t      testing.TB
	docker *harness.Docker
}

func (c *dockerClient) Login(host, user, password string) { c.docker.Login(host, user, password) }

func (c *dockerClient) Push(archive, ref string) string {
	c.t.Helper()
	c.docker.Run("load", "--input", archive).OK(c.t)
	return digestIn(c.t, c.docker.Run("push", ref).OK(c.t))
}

func (c *dockerClient) Pull(ref string) harness.Result {
	c.t.Helper()
	// The result does not matter: it may not be there.
	c.docker.Run("rmi", "--force", ref)
	return c.docker.Run("pull", ref)
}

func (c *dockerClient) Digest(ref string) string {
	c.t.Helper()
	return digestIn(c.t, c.docker.Run("inspect", "--format", "{{index .RepoDigests 0}}", ref).OK(c.t))
}

// storageClient is podman or buildah: the words are the same.
type storageClient struct {
	t    testing.TB
	tool *harness.Tool
}

func (c *storageClient) Login(host, user, password string) {
	c.t.Helper()
	c.tool.RunWithInput(password, "login", "--tls-verify=false", "--username", user, "--password-stdin", host).OK(c.t)
}

func (c *storageClient) Push(archive, ref string) string {
	c.t.Helper()
	id := c.tool.Run("pull", "--quiet", "docker-archive:"+archive).OK(c.t)
	file := filepath.Join(c.t.TempDir(), "digest")
	c.tool.Run("push", "--tls-verify=false", "--digestfile", file, id, "docker://"+ref).OK(c.t)
	return readDigest(c.t, file)
}

func (c *storageClient) Pull(ref string) harness.Result {
	c.t.Helper()
	c.tool.Run("rmi", "--force", ref)
	return c.tool.Run("pull", "--tls-verify=false", "docker://"+ref)
}

func (c *storageClient) Digest(ref string) string {
	c.t.Helper()
	// buildah's and podman's lists agree where their inspect does not.
	repository := ref[:strings.LastIndexAny(ref, ":@")]
	return digestIn(c.t, c.tool.Run("images", "--format", "{{.Digest}}", "--filter", "reference="+repository).OK(c.t))
}

// skopeoClient copies to a folder and back.
type skopeoClient struct {
	t    testing.TB
	tool *harness.Tool
	dirs map[string]string
}

func (c *skopeoClient) Login(host, user, password string) {
	c.t.Helper()
	c.tool.RunWithInput(password, "login", "--tls-verify=false", "--username", user, "--password-stdin", host).OK(c.t)
}

func (c *skopeoClient) Push(archive, ref string) string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "digest")
	c.tool.Run("copy", "--dest-tls-verify=false", "--digestfile", file, "docker-archive:"+archive, "docker://"+ref).OK(c.t)
	return readDigest(c.t, file)
}

func (c *skopeoClient) Pull(ref string) harness.Result {
	c.t.Helper()
	c.dirs[ref] = c.t.TempDir()
	return c.tool.Run("copy", "--src-tls-verify=false", "docker://"+ref, "dir:"+c.dirs[ref])
}

func (c *skopeoClient) Digest(ref string) string {
	c.t.Helper()
	return digestOfFile(c.t, filepath.Join(c.dirs[ref], "manifest.json"))
}

// ctrClient is containerd's own client, which takes credentials with each command.
type ctrClient struct {
	t          testing.TB
	containerd *harness.Containerd
	user       string
}

func (c *ctrClient) Login(_, user, password string) { c.user = user + ":" + password }

func (c *ctrClient) Push(archive, ref string) string {
	c.t.Helper()
	c.containerd.Run("images", "import", archive).OK(c.t)
	c.containerd.Run("images", "push", "--plain-http", "--user", c.user, ref).OK(c.t)
	return c.Digest(ref)
}

func (c *ctrClient) Pull(ref string) harness.Result {
	c.t.Helper()
	c.containerd.Run("images", "rm", "--sync", ref)
	return c.containerd.Run("images", "pull", "--plain-http", "--user", c.user, ref)
}

func (c *ctrClient) Digest(ref string) string {
	c.t.Helper()
	return digestIn(c.t, c.containerd.Run("images", "ls", fmt.Sprintf("name==%q", ref)).OK(c.t))
}

// craneClient is go-containerregistry's crane.
type craneClient struct {
	t    testing.TB
	tool *harness.Tool
}

func (c *craneClient) Login(host, user, password string) {
	c.t.Helper()
	c.tool.RunWithInput(password, "auth", "login", host, "--username", user, "--password-stdin").OK(c.t)
}

func (c *craneClient) Push(archive, ref string) string {
	c.t.Helper()
	return digestIn(c.t, c.tool.Run("push", archive, ref).OK(c.t))
}

func (c *craneClient) Pull(ref string) harness.Result {
	c.t.Helper()
	return c.tool.Run("pull", ref, filepath.Join(c.t.TempDir(), "pulled.tar"))
}

func (c *craneClient) Digest(ref string) string {
	c.t.Helper()
	return c.tool.Run("digest", ref).OK(c.t)
}

// regctlClient is regclient's regctl.
type regctlClient struct {
	t    testing.TB
	tool *harness.Tool
}

func (c *regctlClient) Login(host, user, password string) {
	c.t.Helper()
	c.tool.Run("registry", "set", "--skip-check", "--tls", "disabled", host).OK(c.t)
	c.tool.RunWithInput(password, "registry", "login", host, "--user", user, "--pass-stdin").OK(c.t)
}

func (c *regctlClient) Push(archive, ref string) string {
	c.t.Helper()
	c.tool.Run("image", "import", ref, archive).OK(c.t)
	return c.Digest(ref)
}

func (c *regctlClient) Pull(ref string) harness.Result {
	c.t.Helper()
	return c.tool.Run("image", "export", ref, filepath.Join(c.t.TempDir(), "pulled.tar"))
}

func (c *regctlClient) Digest(ref string) string {
	c.t.Helper()
	return c.tool.Run("image", "digest", ref).OK(c.t)
}
