package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take to become true. It is generous because
// the machine that runs the tests is busy; nothing asserts that it is used up.
const Patience = 90 * time.Second

// Process is one program that runs beside a test.
type Process struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // why, once done is closed
	log  *logBuffer
	quit syscall.Signal
	end  sync.Once
}

// start runs a program until the test ends or stop is called. Its output is kept
// and shown when the test fails.
func start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{}), log: &logBuffer{}, quit: syscall.SIGTERM}
	if cmd.Stderr = p.log; cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	// A group of its own: what the program starts dies with it, and nothing else.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("--- log of %s (its last lines)\n%s", name, tail(p.log.String(), 80))
		}
	})
	return p
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is all that the process has written so far.
func (p *Process) Log() string { return p.log.String() }

// stop asks the process to end and, if it does not, ends it with what it started.
func (p *Process) stop() {
	_ = p.cmd.Process.Signal(p.quit)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
	}
	p.kill()
}

// kill ends the process and what it started at once. It acts once: a group that
// has gone may leave its id to somebody else.
func (p *Process) kill() {
	p.end.Do(func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	<-p.done
}

// ended reports whether the process has ended by itself.
func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ready polls until probe succeeds. It fails the test at once if the process
// ends first, which is the usual way for a start to fail.
func (p *Process) ready(t testing.TB, probe func() error) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(25 * time.Millisecond) {
		if last = probe(); last == nil {
			return
		}
		if p.ended() {
			t.Fatalf("%s ended before it was ready: %v\n%s", p.Name, p.err, tail(p.Log(), 40))
		}
	}
	t.Fatalf("%s was not ready: %v\n%s", p.Name, last, tail(p.Log(), 40))
}

// Eventually polls until check succeeds, and fails the test with its last error
// when it never does.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	var last error
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = check(); last == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, last)
}

// Ports of the tests lie below those that Linux gives to outgoing connections
// (ip_local_port_range, 32768 and up): a port of that range that was free a moment
// ago may be the near end of somebody's connection when the service binds it, or
// binds it again after a restart.
const (
	firstPort = 12000
	lastPort  = 32767
)

// givenPorts are the ports that this process has had from FreePort.
var givenPorts sync.Map

// FreePort answers a loopback port that nobody listens on now, and the same one
// never twice. It is picked at random, for test packages run side by side.
func FreePort(t testing.TB) int {
	t.Helper()
	var last error
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		l.Close()
		return port
	}
	t.Fatalf("no free port of 1000 tried: %v", last)
	return 0
}

// ShortDir makes a folder whose path is short enough for a unix socket in it,
// which the test's own temporary folders are not.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove %s: %v", dir, err)
		}
	})
	return dir
}

// Result is what a command that was run said.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Err            error
}

// Said is everything that the command printed.
func (r Result) Said() string { return r.Stdout + r.Stderr }

// OK fails the test unless the command succeeded, and answers its standard
// output without the spaces around it.
func (r Result) OK(t testing.TB) string {
	t.Helper()
	if r.Err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(r.Args, " "), r.Err, r.Said())
	}
	return strings.TrimSpace(r.Stdout)
}

// Fails fails the test if the command succeeded, and answers what it said.
func (r Result) Fails(t testing.TB) string {
	t.Helper()
	if r.Err == nil {
		t.Fatalf("%s succeeded and should not have:\n%s", strings.Join(r.Args, " "), r.Said())
	}
	return r.Said()
}

// Run runs a program to its end. env is added to the environment, input is fed
// to it.
func Run(t testing.TB, env []string, input string, program string, args ...string) Result {
	t.Helper()
	// A client that hangs must not hang the whole run.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("did not end: %w", err)
	}
	shown := append([]string{filepath.Base(program)}, args...)
	return Result{Args: shown, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
}

// logBuffer collects output; a process writes while a test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
