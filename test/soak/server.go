package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	adminName     = "admin"
	adminPassword = "a-password-for-soaking"
)

// rule is the author's bundle: a content rule that reads every image that is
// pulled, and denies one of those that are asked for.
const rule = `package bondgate.rules.house

import data.bondgate.lib.image

# METADATA
# title: No image runs as root
# description: A process that breaks out of a container as root is root on the node.
# custom:
#   code: house.no_root
#   severity: high
#   remediation: Add USER 1000 to the Dockerfile
deny contains {"code": "house.no_root", "msg": "the image runs as root"} if {
	input.action == "manifest.pull"
	image.runnable
	image.runs_as_root
}
`

// server is the built binary with token authentication, the shipped rules and an
// author's, on files and SQLite: what one command gives.
type server struct {
	addr, data, log string
	cmd             *exec.Cmd
}

// start runs the binary with a configuration and waits until it is ready.
func start(ctx context.Context, binary, dir, config string) (*server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}
	_ = l.Close() // another process may take the port; then the start fails and says so
	policies := filepath.Join(dir, "policy")
	if err := os.MkdirAll(policies, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bondgate.yaml")
	for name, text := range map[string]string{filepath.Join(policies, "no_root.rego"): rule, file: config} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// Without a context: it is to end in its own time, after its clients.
	s.cmd = exec.Command(binary, "serve", "--config", file, "--listen", s.addr, "--data-dir", s.data, "--policy", policies)
	s.cmd.Env = append(os.Environ(), "BONDGATE_ADMIN_PASSWORD="+adminPassword)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// An interrupt at the terminal is the load's: it stops the server itself.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 300 {
		if resp, err := get(ctx, "http://"+s.addr+"/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	err = fmt.Errorf("the server does not become ready:\n%s", s.complaints())
	s.stop()
	return nil, err
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // how it ended is in its log
}

// complaints are the last warnings and errors of the server's log.
func (s *server) complaints() string {
	raw, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if !strings.Contains(line, "level=INFO") {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-10):], "")
}

// memory reads a field of /proc/PID/status, VmRSS or VmHWM, in bytes.
func (s *server) memory(field string) (int64, error) {
	raw, err := os.ReadFile(s.proc("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc has no %s", field)
}

// forgetPeak makes VmHWM begin again (proc(5), clear_refs).
func (s *server) forgetPeak() error { return os.WriteFile(s.proc("clear_refs"), []byte("5"), 0o200) }

func (s *server) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, name)
}

func (s *server) descriptors() (int, error) {
	all, err := os.ReadDir(s.proc("fd"))
	return len(all), err
}

// files adds up the sizes of what lies beside the images and ends in suffix.
func (s *server) files(suffix string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(s.data, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "storage":
			return filepath.SkipDir
		case !strings.HasSuffix(name, suffix):
			return nil
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil // it went meanwhile
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// gauges reads values of /metrics that have no labels.
func (s *server) gauges(ctx context.Context, names ...string) (map[string]float64, error) {
	resp, err := get(ctx, "http://"+s.addr+"/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if slices.Contains(names, name) {
			if out[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, err
			}
		}
	}
	if len(out) != len(names) {
		return nil, fmt.Errorf("/metrics has %v of %v", out, names)
	}
	return out, nil
}
