package harness

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Tool is a client without a daemon: crane, regctl, skopeo, podman or buildah,
// with a home and credentials of its own.
type Tool struct {
	t       testing.TB
	program string
	before  []string // arguments before every command's own
	env     []string
	auth    string
}

// Crane is go-containerregistry's client.
func Crane(t testing.TB) *Tool { return newTool(t, "crane") }

// Regctl is regclient's.
func Regctl(t testing.TB) *Tool { return newTool(t, "regctl") }

// Skopeo copies images between places.
func Skopeo(t testing.TB) *Tool { return newTool(t, "skopeo") }

// Podman has image storage of its own.
func Podman(t testing.TB) *Tool { return newContainers(t, "podman", "--cgroup-manager=cgroupfs") }

// Buildah has image storage of its own.
func Buildah(t testing.TB) *Tool { return newContainers(t, "buildah") }

func newTool(t testing.TB, program string, before ...string) *Tool {
	t.Helper()
	home := t.TempDir()
	tool := &Tool{
		t:       t,
		program: Find(t, program),
		before:  before,
		// Podman, buildah and skopeo read REGISTRY_AUTH_FILE; crane and regctl
		// read config.json in DOCKER_CONFIG.
		auth: filepath.Join(home, "config.json"),
	}
	tool.env = []string{
		"HOME=" + home,
		"XDG_RUNTIME_DIR=" + home,
		"REGISTRY_AUTH_FILE=" + tool.auth,
		"REGCTL_CONFIG=" + filepath.Join(home, "regctl.json"),
		"DOCKER_CONFIG=" + home,
	}
	if err := os.WriteFile(tool.auth, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return tool
}

func newContainers(t testing.TB, program string, more ...string) *Tool {
	t.Helper()
	NeedRoot(t)
	dir := ShortDir(t)
	driver := "vfs"
	if overlayWorks(dir) {
		driver = "overlay"
	}
	before := append([]string{
		"--root", filepath.Join(dir, "root"),
		"--runroot", filepath.Join(dir, "run"),
		"--storage-driver", driver,
	}, more...)
	tool := newTool(t, program, before...)
	// The machine's own storage.conf names other folders and options.
	conf := filepath.Join(dir, "storage.conf")
	storage := fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n",
		driver, filepath.Join(dir, "root"), filepath.Join(dir, "run"))
	if err := os.WriteFile(conf, []byte(storage), 0o600); err != nil {
		t.Fatal(err)
	}
	tool.env = append(tool.env, "CONTAINERS_STORAGE_CONF="+conf)
	return tool
}

// Run runs the tool.
func (c *Tool) Run(args ...string) Result {
	c.t.Helper()
	return c.RunWithInput("", args...)
}

// RunWithInput is Run with something to read on standard input.
func (c *Tool) RunWithInput(input string, args ...string) Result {
	c.t.Helper()
	return Run(c.t, c.env, input, c.program, append(append([]string{}, c.before...), args...)...)
}

// Credentials gives the tool a name and a password for a registry, as its own
// login command would have stored them.
func (c *Tool) Credentials(host, user, password string) {
	c.t.Helper()
	raw, err := os.ReadFile(c.auth)
	if err != nil {
		c.t.Fatal(err)
	}
	var file struct {
		Auths map[string]map[string]string `json:"auths"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		c.t.Fatal(err)
	}
	if file.Auths == nil {
		file.Auths = map[string]map[string]string{}
	}
	file.Auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	raw, err = json.Marshal(file)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.auth, raw, 0o600); err != nil {
		c.t.Fatal(err)
	}
}
