package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is a registry under load: ours with token auth, full decision and
// record, or distribution with no auth at all.
type target struct {
	name  string
	addr  string
	dir   string
	cmd   *exec.Cmd
	ready time.Duration
	// files is the folder of a server that serves files and nothing else; empty
	// for a registry.
	files string
	// authorize makes the Authorization header for the given scopes; empty for none.
	authorize func(user, password string, scopes ...string) (string, error)
}

const (
	adminName     = "admin"
	adminPassword = "a-password-for-benchmarks"
)

// freePort asks the kernel. Another process may take it before we do; then the
// start fails and says so.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// What our own other binaries go by: an earlier one, and one that records nothing.
const (
	nameBefore     = "before"
	nameUnrecorded = "unrecorded"
)

func startBondgate(name, binary, dir string) (*target, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: name, addr: addr, dir: filepath.Join(dir, name)}
	t.cmd = exec.Command(binary, "serve", "--listen", addr, "--data-dir", t.dir)
	t.cmd.Env = append(os.Environ(), "BONDGATE_ADMIN_PASSWORD="+adminPassword)
	t.authorize = t.token
	return t, t.start("/readyz")
}

func startDistribution(binary, dir string) (*target, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: "distribution", addr: addr, dir: filepath.Join(dir, "distribution")}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(t.dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: true}\nhttp: {addr: %q, secret: bench}\n",
		filepath.Join(t.dir, "data"), addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.Command(binary, "serve", config)
	t.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	t.authorize = nobody
	return t, t.start("/v2/")
}

// startZot runs zot without authentication, policy or garbage collection.
func startZot(binary, dir string) (*target, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: "zot", addr: addr, dir: filepath.Join(dir, "zot")}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(t.dir, "config.json")
	text := fmt.Sprintf(`{"storage":{"rootDirectory":%q,"gc":false},"http":{"address":%q,"port":%q},"log":{"level":"error"}}`,
		filepath.Join(t.dir, "data"), host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.Command(binary, "serve", config)
	t.authorize = nobody
	return t, t.start("/v2/")
}

// startNginx runs nginx as a server of static files with sendfile, as many
// workers as there are cores and no access log.
func startNginx(binary, dir string) (*target, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	t := &target{name: "nginx", addr: addr, dir: filepath.Join(dir, "nginx")}
	t.files = filepath.Join(t.dir, "files")
	// Its workers would otherwise be somebody who may not read a temporary folder.
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(t.files, 0o755); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`daemon off;
user %s;
worker_processes auto;
pid %[2]s/pid;
error_log %[2]s/error.log;
events { worker_connections 256; }
http {
	sendfile on;
	tcp_nopush on;
	access_log off;
	keepalive_requests 1000000000;
	server {
		listen %[3]s;
		root %[4]s;
		location = /ready { return 200; }
	}
}
`, me.Username, t.dir, addr, t.files)
	config := filepath.Join(t.dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.Command(binary, "-c", config, "-p", t.dir)
	t.authorize = nobody
	return t, t.start("/ready")
}

// nobody needs to say who they are.
func nobody(string, string, ...string) (string, error) { return "", nil }

// start runs the command and waits until path answers 200.
func (t *target) start(path string) error {
	logFile, err := os.Create(t.dir + ".log")
	if err != nil {
		return err
	}
	t.cmd.Stdout, t.cmd.Stderr = logFile, logFile
	began := time.Now()
	if err := t.cmd.Start(); err != nil {
		return err
	}
	for time.Since(began) < 30*time.Second {
		resp, err := http.Get("http://" + t.addr + path)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				t.ready = time.Since(began)
				return nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("%s did not become ready; its log is %s.log", t.name, t.dir)
}

func (t *target) stop() {
	if t == nil || t.cmd.Process == nil {
		return
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	_ = t.cmd.Wait()
}

// complaints are the last errors of the server's log.
func (t *target) complaints() string {
	raw, err := os.ReadFile(t.dir + ".log")
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-5):], "")
}

// rss is the resident set in bytes.
func (t *target) rss() (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}

func (t *target) token(user, password string, scopes ...string) (string, error) {
	q := url.Values{"service": {t.addr}, "scope": scopes}
	req, err := http.NewRequest(http.MethodGet, "http://"+t.addr+"/token?"+q.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var out struct{ Token string }
	if err := json.Unmarshal(body, &out); err != nil || out.Token == "" {
		return "", fmt.Errorf("token for %s: %s %s", user, resp.Status, body)
	}
	return "Bearer " + out.Token, nil
}

// metric reads one sample of /metrics, summed over labels that contain all parts.
func (t *target) metric(name string, labels ...string) (float64, error) {
	resp, err := http.Get("http://" + t.addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
lines:
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(line, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}
