package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Docker is a private docker daemon and its client.
type Docker struct {
	t      testing.TB
	client string
	socket string
	config string
	more   []string
}

// With is the same daemon and a client with more in its environment, such as a
// configuration of another person's.
func (d *Docker) With(env ...string) *Docker {
	other := *d
	other.more = env
	return &other
}

// StartDocker starts dockerd without a network of its own: pushing and pulling
// needs none, and the machine's tables stay as they are.
func StartDocker(t testing.TB) *Docker {
	t.Helper()
	NeedRoot(t)
	daemon, client := Find(t, "dockerd"), Find(t, "docker")
	for _, needed := range []string{"containerd", "runc", "iptables"} {
		Find(t, needed)
	}
	dir := ShortDir(t)
	empty := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(empty, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Docker{t: t, client: client, socket: "unix://" + filepath.Join(dir, "s"), config: t.TempDir()}
	cmd := exec.Command(daemon, "--config-file", empty,
		"-H", d.socket,
		"--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"),
		"-p", filepath.Join(dir, "pid"),
		"--storage-driver", storageDriver(dir),
		"--iptables=false", "--ip6tables=false", "--bridge=none",
		"--ip-forward=false", "--ip-masq=false")
	p := start(t, "dockerd", cmd)
	p.ready(t, func() error {
		if r := d.Run("version"); r.Err != nil {
			return fmt.Errorf("%s", r.Said())
		}
		return nil
	})
	return d
}

// Env is what makes any docker client a client of this daemon.
func (d *Docker) Env() []string {
	return append([]string{"DOCKER_CONFIG=" + d.config, "DOCKER_HOST=" + d.socket, "DOCKER_CONTEXT="}, d.more...)
}

// Run runs the docker client against the daemon, with credentials of its own.
func (d *Docker) Run(args ...string) Result {
	d.t.Helper()
	return d.RunWithInput("", args...)
}

// RunWithInput is Run with something to read on standard input.
func (d *Docker) RunWithInput(input string, args ...string) Result {
	d.t.Helper()
	return Run(d.t, d.Env(), input, d.client, args...)
}

// Login stores credentials, as a person does who pastes the line that the server prints.
func (d *Docker) Login(host, user, password string) {
	d.t.Helper()
	d.RunWithInput(password, "login", "--username", user, "--password-stdin", host).OK(d.t)
}

// Containerd is a private containerd and ctr, its client.
type Containerd struct {
	t      testing.TB
	client string
	socket string
}

// StartContainerd starts containerd with folders of its own.
func StartContainerd(t testing.TB) *Containerd {
	t.Helper()
	NeedRoot(t)
	daemon, client := Find(t, "containerd"), Find(t, "ctr")
	dir := ShortDir(t)
	c := &Containerd{t: t, client: client, socket: filepath.Join(dir, "s")}
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
[ttrpc]
  address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), c.socket, filepath.Join(dir, "t"))
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "containerd", exec.Command(daemon, "--config", file))
	p.ready(t, func() error {
		if r := c.Run("version"); r.Err != nil {
			return fmt.Errorf("%s", r.Said())
		}
		return nil
	})
	return c
}

// Run runs ctr against the daemon.
func (c *Containerd) Run(args ...string) Result {
	c.t.Helper()
	return Run(c.t, nil, "", c.client, append([]string{"--address", c.socket, "--namespace", "test"}, args...)...)
}
