package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bondgate/bondgate/policy"
)

func TestTheFirstAdministratorIsShownOnce(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, withPassword(""))
	m := regexp.MustCompile(`docker login (\S+) -u admin -p (\S+)\n`).FindStringSubmatch(s.out.String())
	if m == nil {
		t.Fatalf("a first start writes %q", s.out)
	}
	if m[1] != s.host() {
		t.Errorf("the login line names %s, the server is %s", m[1], s.host())
	}
	if status, _ := s.get("/v2/", "admin", m[2]); status != http.StatusOK {
		t.Errorf("the password answers %d", status)
	}
	if status, _ := s.get("/v2/", "admin", m[2]+"x"); status != http.StatusUnauthorized {
		t.Errorf("another password answers %d", status)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir, withPassword(""))
	if again.out.Len() != 0 {
		t.Errorf("a second start writes %q", again.out)
	}
	if status, _ := again.get("/v2/", "admin", m[2]); status != http.StatusOK {
		t.Errorf("after a restart the password answers %d", status)
	}
}

func TestTheLoginLineCanBePasted(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1", "0.0.0.0:0": "localhost", ":0": "localhost", "[::]:0": "localhost",
	} {
		t.Run(listen, func(t *testing.T) {
			s := start(t, t.TempDir(), withPassword(""), withConfig(func(c *Config) { c.Listen, c.BehindTLSProxy = listen, true }))
			if !strings.Contains(s.out.String(), "docker login "+want+":") {
				t.Errorf("a first start writes %q", s.out)
			}
		})
	}
}

func TestTheEnvironmentSetsTheFirstPassword(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if s.out.Len() != 0 {
		t.Errorf("a password that is known already is printed: %q", s.out)
	}
	if status, _ := s.get("/v2/", "admin", adminPassword); status != http.StatusOK {
		t.Errorf("the password answers %d", status)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir, withPassword("another-password"))
	if status, _ := again.get("/v2/", "admin", "another-password"); status != http.StatusUnauthorized {
		t.Errorf("a later start changed the password: %d", status)
	}
}

func TestAWeakFirstPasswordIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := New(t.Context(), options(t, dir, withPassword("short"))); !errors.Is(err, policy.ErrInvalid) {
		t.Fatalf("the start answers %v", err)
	}
	s := start(t, dir)
	if status, _ := s.get("/v2/", "admin", adminPassword); status != http.StatusOK {
		t.Errorf("the refused start left an account: %d", status)
	}
}

func TestOnlyThisAccountMayOpenTheData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a"+strings.Repeat("/long-folder-name", 8))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// What a killed server leaves behind.
	if err := os.WriteFile(filepath.Join(dir, socketName), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may enter %s: %s", e.Name(), info.Mode())
		}
	}
	if out := s.must("user", "list"); !strings.Contains(out, "admin") {
		t.Errorf("by way of a long path the socket answers %q", out)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, socketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := cli(t, "", "user", "list", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "no server is running") {
		t.Errorf("without a server a command says %v", err)
	}
}

func TestOneServerAFolder(t *testing.T) {
	s := start(t, t.TempDir())
	_, err := New(t.Context(), options(t, s.dir))
	if err == nil || !strings.Contains(err.Error(), "another server is running") {
		t.Fatalf("a second server on the folder says %v", err)
	}
	if out := s.must("user", "list"); !strings.Contains(out, "admin") {
		t.Fatalf("the first one lost its socket: %q", out)
	}
}

func TestPlainHTTPIsRefusedOffLoopback(t *testing.T) {
	o := options(t, t.TempDir(), withConfig(func(c *Config) { c.Listen = "0.0.0.0:0" }))
	if _, err := New(t.Context(), o); !errors.Is(err, policy.ErrInvalid) {
		t.Fatalf("the start answers %v", err)
	}
}

func TestAGracefulStopFinishesWhatRuns(t *testing.T) {
	s := start(t, t.TempDir())
	s.must("project", "create", "team")
	base := "http://" + s.host()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v2/team/app/blobs/uploads/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", adminPassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	location, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	patch, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, location.String(), r)
	if err != nil {
		t.Fatal(err)
	}
	patch.SetBasicAuth("admin", adminPassword)
	patch.Header.Set("Content-Type", "application/octet-stream")
	answer := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(patch)
		if err != nil {
			t.Errorf("the running upload: %v", err)
			answer <- 0
			return
		}
		_ = resp.Body.Close()
		answer <- resp.StatusCode
	}()
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has begun to read", func() bool {
		_, body := s.get("/metrics", "", "")
		return strings.Contains(body, "\nbondgate_http_requests_in_flight 2\n")
	})
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "the server takes no more connections", func() bool {
		c, err := net.Dial("tcp", s.host())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if _, err := w.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if status := <-answer; status != http.StatusAccepted {
		t.Errorf("the running upload was answered %d", status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("the stop answers %v", err)
	}
}

func TestAPullAfterAPush(t *testing.T) {
	s := start(t, t.TempDir())
	img := image(t)
	if err := remote.Write(s.ref("team/app:1"), img, asAdmin); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(s.ref("team/app:1"), asAdmin)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := img.Digest()
	if d, err := got.Digest(); err != nil || d != want {
		t.Fatalf("pulled %v %v, pushed %v", d, err, want)
	}
	if _, err := remote.Image(s.ref("team/app:1")); err == nil {
		t.Fatal("anybody may pull from a private project")
	}
	s.must("project", "set", "team", "--public")
	if _, err := remote.Image(s.ref("team/app:1")); err != nil {
		t.Fatalf("a public project: %v", err)
	}
	var last struct {
		Action, Verdict, ID string
	}
	eventually(t, "the push is in the record", func() bool {
		out := s.must("decisions", "tail", "--json", "-n", "1", "--action", "manifest.push")
		return json.Unmarshal([]byte(out), &last) == nil && last.Verdict == "allow"
	})
	if out := s.must("decisions", "show", last.ID, "--json"); !strings.Contains(out, `"input": {`) {
		t.Fatalf("the record has no input: %s", out)
	}
	if _, body := s.get("/metrics", "", ""); !strings.Contains(body, `bondgate_decisions_total{action="manifest.push",cached="false",outcome="allow"} `) {
		t.Error("the push is not in the metrics")
	}
}

func TestWhoseFirstPushMakesAProject(t *testing.T) {
	tests := map[string]struct {
		mode        string
		admin, user bool
	}{
		"administrators by default": {autoAdmins, true, false},
		"everybody who is known":    {autoWriters, true, true},
		"nobody":                    {autoOff, false, false},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			s := start(t, t.TempDir(), withAuto(tt.mode))
			if _, err := s.cli("bobs-password\n", "user", "add", "bob", "--password-stdin"); err != nil {
				t.Fatal(err)
			}
			err := remote.Write(s.ref("byadmin/app:1"), image(t), asAdmin)
			if (err == nil) != tt.admin {
				t.Errorf("an administrator's push: %v", err)
			}
			err = remote.Write(s.ref("bybob/app:1"), image(t), as("bob", "bobs-password"))
			if (err == nil) != tt.user {
				t.Errorf("somebody's push: %v", err)
			}
			out := s.must("project", "list")
			if strings.Contains(out, "bybob") != tt.user || strings.Contains(out, "byadmin") != tt.admin {
				t.Errorf("the projects are %s (bob's push: %v)", out, err)
			}
		})
	}
}
