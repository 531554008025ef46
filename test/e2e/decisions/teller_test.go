package decisions

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const password = "correct-Horse-7-battery"

// story runs the commands that a reader would type, in one folder, each as somebody,
// and remembers which they were.
type story struct {
	t      testing.TB
	g      *harness.Gateway
	docker *harness.Docker
	dir    string
	// env has what a command may name: HOST, PASSWORD and what was remembered.
	env  map[string]string
	told []string
	// last is what was logged last: what is tried until it holds is told once.
	last string
}

// begin starts a gateway with the rules of the story in a folder, the same rules
// beside it as a shadow, and the project team with its people.
func begin(t *testing.T) *story {
	t.Helper()
	dir := t.TempDir()
	s := &story{t: t, dir: dir, env: map[string]string{"PASSWORD": password}}
	for _, folder := range []string{"rules", "shadow"} {
		s.write(folder+"/no_root.rego", noRoot)
		s.write(folder+"/data.json", governance)
	}
	s.write("stricter/data.json", governance)
	s.g = harness.StartGateway(t, harness.Options{
		Policy: filepath.Join(dir, "rules"), Args: []string{"--shadow", filepath.Join(dir, "shadow")},
	})
	s.env["HOST"] = s.g.Host
	if err := os.Symlink(s.g.DataDir, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	s.g.CLI("project", "create", "team").OK(t)
	for name, role := range map[string]string{alice: "developer", bob: "guest", dora: "projectAdmin", carol: ""} {
		s.g.AddUser(name, password)
		if role != "" {
			s.g.CLI("member", "add", "team", name, "--role", role).OK(t)
		}
	}
	s.docker = harness.StartDocker(t)
	return s
}

func (s *story) write(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// push puts a small image there beforehand.
func (s *story) push(ref, user string) {
	s.t.Helper()
	ref = s.g.Host + "/" + ref
	crane := harness.Crane(s.t)
	crane.Credentials(s.g.Host, harness.AdminUser, harness.AdminPassword)
	crane.Run("push", harness.Image(s.t, harness.ImageSpec{Name: ref, User: user}), ref).OK(s.t)
}

// teller is somebody at a shell.
type teller struct {
	*story
	env []string
}

// as is a person with their own password and their own docker login.
func (s *story) as(name string) teller {
	s.t.Helper()
	config := filepath.Join(s.dir, ".docker-"+name)
	docker := s.docker.With("DOCKER_CONFIG=" + config)
	if _, err := os.Stat(config); err != nil {
		docker.Login(s.g.Host, name, password)
	}
	return teller{s, append(docker.Env(), "BONDGATE_SERVER="+s.g.Host, "BONDGATE_USERNAME="+name, "BONDGATE_PASSWORD="+password)}
}

// operator is whoever may open the server's data folder.
func (s *story) operator() teller { return teller{s, nil} }

func (s teller) shell(command string) harness.Result {
	s.t.Helper()
	if !slices.Contains(s.told, command) {
		s.told = append(s.told, command)
	}
	env := append([]string{"PATH=" + filepath.Dir(harness.Binary(s.t)) + ":" + os.Getenv("PATH"), "BONDGATE_ADMIN_PASSWORD="}, s.env...)
	for name, value := range s.story.env {
		env = append(env, name+"="+value)
	}
	r := harness.Run(s.t, env, "", "/bin/sh", "-c", "cd "+s.dir+" && "+command)
	if said := "$ " + command + "\n" + r.Said(); said != s.last {
		s.t.Log(said)
		s.last = said
	}
	return r
}

// runs runs a command that has to succeed, fails one that has not to; both answer
// what it said.
func (s teller) runs(command string) string {
	s.t.Helper()
	r := s.shell(command)
	r.OK(s.t)
	return r.Said()
}

func (s teller) fails(command string) string {
	s.t.Helper()
	return s.shell(command).Fails(s.t)
}

// remember names a part of what was said, for later commands.
func (s *story) remember(name, said, pattern string) {
	s.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if m == nil {
		s.t.Fatalf("no %s in %s", pattern, said)
	}
	s.env[name] = m[1]
}

func (s *story) until(what string, said func() string, want string) {
	s.t.Helper()
	harness.Eventually(s.t, what, func() error {
		if text := said(); !strings.Contains(text, want) {
			return fmt.Errorf("no %q in: %s", want, text)
		}
		return nil
	})
}

func (s *story) eventually(what, who, command, want string) {
	s.t.Helper()
	s.until(what, func() string { return s.as(who).runs(command) }, want)
}

// eventuallyFails waits until a command fails, and answers what it said then.
func (s *story) eventuallyFails(what, who, command, want string) (said string) {
	s.t.Helper()
	harness.Eventually(s.t, what, func() error {
		r := s.as(who).shell(command)
		if said = r.Said(); r.Err == nil || !strings.Contains(said, want) {
			return fmt.Errorf("%w: %s", r.Err, said)
		}
		return nil
	})
	return said
}

// isToldIn holds a page against the story: it shows no command that was not run.
func (s *story) isToldIn(page string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), page))
	if err != nil {
		s.t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(shown) == 0 {
		s.t.Fatalf("%s shows no command", page)
	}
	for _, m := range shown {
		command := strings.TrimSpace(strings.SplitN(m[1], "   #", 2)[0])
		if !slices.Contains(s.told, command) {
			s.t.Errorf("%s shows a command that the story does not run: %s", page, command)
		}
	}
}
