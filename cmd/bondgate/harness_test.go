package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
)

const adminPassword = "the-tests-own-0"

// server is a running App.
type server struct {
	t    *testing.T
	app  *App
	dir  string
	out  *bytes.Buffer
	stop func() error
}

type setting func(*Options)

func withPassword(p string) setting      { return func(o *Options) { o.AdminPassword = p } }
func withConfig(f func(*Config)) setting { return func(o *Options) { f(&o.Config) } }
func withAuto(mode string) setting {
	return withConfig(func(c *Config) { c.Projects.AutoCreate = mode })
}

// options are those of a server on a free port with a deadline for a busy machine.
func options(t *testing.T, dir string, settings ...setting) Options {
	t.Helper()
	cfg, err := LoadConfig("", nil, Override{Set: func(c *Config) {
		c.Listen, c.DataDir, c.Policy.Deadline = "127.0.0.1:0", dir, Duration(10*time.Second)
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: cfg, AdminPassword: adminPassword, Version: "test"}
	for _, s := range settings {
		s(&o)
	}
	return o
}

func start(t *testing.T, dir string, settings ...setting) *server {
	t.Helper()
	s := &server{t: t, dir: dir, out: &bytes.Buffer{}}
	o := options(t, dir, settings...)
	o.Out = s.out
	app, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.app = app
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	s.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return s
}

func (s *server) host() string { return s.app.address.String() }

func (s *server) get(path, user, password string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.host()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// cli runs a command against the server and answers what it writes.
func (s *server) cli(input string, args ...string) (string, error) {
	s.t.Helper()
	return cli(s.t, input, append(args, "--data-dir", s.dir)...)
}

func (s *server) must(args ...string) string {
	s.t.Helper()
	out, err := s.cli("", args...)
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return out
}

func cli(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot(deps{})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func (s *server) ref(image string) name.Reference {
	s.t.Helper()
	ref, err := name.ParseReference(s.host()+"/"+image, name.Insecure)
	if err != nil {
		s.t.Fatal(err)
	}
	return ref
}

func as(user, password string) remote.Option {
	return remote.WithAuth(&authn.Basic{Username: user, Password: password})
}

var asAdmin = as("admin", adminPassword)

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// eventually polls until ok; a busy machine may take its time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("it did not come to pass: " + what)
}

// send makes a request as the administrator and answers the response, its body read.
func (s *server) send(method, url, contentType string, body []byte) *http.Response {
	s.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = "http://" + s.host() + url
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("admin", adminPassword)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp
}

// upload pushes a blob under the digest that it is to be named by.
func (s *server) upload(repo string, d digest.Digest, content []byte) {
	s.t.Helper()
	location, err := s.send(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", "", nil).Location()
	if err != nil {
		s.t.Fatal(err)
	}
	q := location.Query()
	q.Set("digest", d.String())
	location.RawQuery = q.Encode()
	if resp := s.send(http.MethodPut, location.String(), "application/octet-stream", content); resp.StatusCode != http.StatusCreated {
		s.t.Fatalf("the upload is answered %s", resp.Status)
	}
}
