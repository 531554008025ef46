package harness

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The administrator of every gateway that the harness starts.
const (
	AdminUser     = "admin"
	AdminPassword = "Harness-admin-0"
)

// Options say how a gateway of a test differs from one that is just started.
type Options struct {
	// Policy is the folder of an author's bundle; empty for none.
	Policy string
	// Config is YAML that is added to the configuration file.
	Config string
	// Listen is the loopback address to serve at, where somebody else has to know it
	// first; empty for a free one.
	Listen string
	// Env is added to the environment.
	Env []string
	// Args are added to the command line of serve.
	Args []string
	// DataDir is kept between gateways when it is given.
	DataDir string
	// Stdout gets the server's standard output; nil for its log.
	Stdout *os.File
	// Binary is another build of the server; empty for the one that is shipped,
	// whose command line is used in any case.
	Binary string
}

// Gateway is a running server, its data folder and its command line.
type Gateway struct {
	// Host is "127.0.0.1:port", what stands before the repository in an image's name.
	Host    string
	DataDir string

	t       testing.TB
	binary  string
	config  string
	options Options
	process *Process
}

// StartGateway starts the built gateway with a data folder of its own on a free
// loopback port, and returns when it is ready to serve.
func StartGateway(t testing.TB, o Options) *Gateway {
	t.Helper()
	g := &Gateway{
		Host:    o.Listen,
		DataDir: o.DataDir,
		t:       t,
		binary:  o.Binary,
		options: o,
	}
	if g.Host == "" {
		g.Host = fmt.Sprintf("127.0.0.1:%d", FreePort(t))
	}
	if g.binary == "" {
		g.binary = Binary(t)
	}
	if g.DataDir == "" {
		g.DataDir = filepath.Join(ShortDir(t), "data")
	}
	g.config = filepath.Join(t.TempDir(), "bondgate.yaml")
	if err := os.WriteFile(g.config, []byte(configuration(o.Config)), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Start()
	return g
}

// configuration completes what a test configures. The deadline of a decision is
// far above the default: on a machine that builds images in several tests at a
// time a process may not run for longer than that, and the answer would be a
// correct 503 that the test did not ask for.
func configuration(extra string) string {
	if strings.Contains(extra, "policy:") {
		return extra
	}
	return "policy:\n  deadline: 10s\n" + extra
}

// Start starts the server again after Stop or Kill, on the same port and data.
func (g *Gateway) Start() {
	g.t.Helper()
	g.StartWith(nil)
}

// StartWith is Start with more of the environment, such as a password that a
// first start takes from it.
func (g *Gateway) StartWith(env []string) {
	g.t.Helper()
	g.launch(env)
	g.process.ready(g.t, g.probe)
}

// Launch starts the server and does not wait for it: where a part is broken it may
// end by itself, or serve later. Await does wait.
func (g *Gateway) Launch() {
	g.t.Helper()
	g.launch(nil)
}

// Await waits until the server serves. One that has ended by itself is started
// again, as a service manager does.
func (g *Gateway) Await() {
	g.t.Helper()
	Eventually(g.t, "the server serves", func() error {
		err := g.probe()
		if err != nil && g.process.ended() {
			g.launch(nil)
		}
		return err
	})
}

func (g *Gateway) launch(env []string) {
	args := []string{"serve", "--config", g.config, "--listen", g.Host, "--data-dir", g.DataDir}
	if g.options.Policy != "" {
		args = append(args, "--policy", g.options.Policy)
	}
	args = append(args, g.options.Args...)
	cmd := exec.Command(g.binary, args...)
	cmd.Env = append(os.Environ(), "BONDGATE_ADMIN_PASSWORD="+AdminPassword)
	cmd.Env = append(append(cmd.Env, g.options.Env...), env...)
	cmd.Dir = g.t.TempDir()
	if g.options.Stdout != nil {
		cmd.Stdout = g.options.Stdout
	}
	g.process = start(g.t, "bondgate", cmd)
}

// probe asks whether the server is ready to serve.
func (g *Gateway) probe() error {
	resp, err := http.Get(g.URL() + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s %s", resp.Status, body)
	}
	return nil
}

// Stop stops the server gracefully, as a service manager does.
func (g *Gateway) Stop() { g.process.stop() }

// Kill ends the server as kill -9 does.
func (g *Gateway) Kill() { g.process.kill() }

// PID is the server's process id.
func (g *Gateway) PID() int { return g.process.PID() }

// Log is what the server has logged since it was last started.
func (g *Gateway) Log() string { return g.process.Log() }

// URL is where the server is, without a slash at the end.
func (g *Gateway) URL() string { return "http://" + g.Host }

// Ref names an image on this server.
func (g *Gateway) Ref(repository, reference string) string {
	if strings.Contains(reference, ":") {
		return g.Host + "/" + repository + "@" + reference
	}
	return g.Host + "/" + repository + ":" + reference
}

// CLI runs a command of bondgate against this server.
func (g *Gateway) CLI(args ...string) Result {
	g.t.Helper()
	return g.CLIWithInput("", args...)
}

// CLIWithInput is CLI with something to read on standard input.
func (g *Gateway) CLIWithInput(input string, args ...string) Result {
	g.t.Helper()
	return Run(g.t, []string{"BONDGATE_ADMIN_PASSWORD="}, input, Binary(g.t), append(args, "--data-dir", g.DataDir)...)
}

// AddUser makes a person with a password.
func (g *Gateway) AddUser(name, password string) {
	g.t.Helper()
	g.CLIWithInput(password+"\n", "user", "add", name, "--password-stdin").OK(g.t)
}

// Do sends a request as a person with Basic authentication (nobody when user is
// empty) and answers the response, its body read.
func (g *Gateway) Do(method, path, user, password string, header http.Header, body io.Reader) Response {
	g.t.Helper()
	req, err := http.NewRequest(method, g.URL()+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	return g.send(req)
}

// DoWithToken is Do with a bearer token.
func (g *Gateway) DoWithToken(method, path, token string, header http.Header) Response {
	g.t.Helper()
	req, err := http.NewRequest(method, g.URL()+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return g.send(req)
}

// Response is an answer of the server with its body read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

var client = &http.Client{
	Timeout: 5 * time.Minute,
	// Each request a connection of its own: a server that was restarted in
	// between must not meet a connection of its predecessor.
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (g *Gateway) send(req *http.Request) Response {
	g.t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL, err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// Accept is the header of a client that takes any manifest as it is stored.
var Accept = http.Header{"Accept": {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
}}

// Digest asks, as the administrator, which digest a tag has.
func (g *Gateway) Digest(repository, tag string) string {
	g.t.Helper()
	r := g.Do(http.MethodHead, "/v2/"+repository+"/manifests/"+tag, AdminUser, AdminPassword, Accept, nil)
	if r.Status != http.StatusOK {
		g.t.Fatalf("HEAD of %s:%s answers %d", repository, tag, r.Status)
	}
	return r.Header.Get("Docker-Content-Digest")
}
