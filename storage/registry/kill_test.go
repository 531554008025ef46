package registry_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// pusherRoot, when set, makes this binary a process that pushes until it is killed.
const pusherRoot = "BONDGATE_TEST_PUSHER_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(pusherRoot); root != "" {
		pushForever(root)
	}
	os.Exit(m.Run())
}

// pushForever says on its standard output what is acknowledged: a line is
// written after the call returned.
func pushForever(root string) {
	ctx := context.Background()
	e, err := registry.Open(ctx, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for worker := range 4 {
		repo := policy.Repository{Workspace: policy.DefaultWorkspace, Name: fmt.Sprintf("team/app%d", worker)}
		all.Go(func() {
			for round := 0; ; round++ {
				body := make([]byte, 20_000)
				_, _ = rand.Read(body)
				if err := pushImage(ctx, e, repo, body, func(kind string, d digest.Digest) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Println(kind, repo.Name, d)
				}); err != nil {
					panic(err)
				}
			}
		})
	}
	all.Wait()
}

func pushImage(ctx context.Context, e *registry.Engine, repo policy.Repository, body []byte, acknowledged func(string, digest.Digest)) error {
	id, err := e.StartUpload(ctx, repo)
	if err != nil {
		return err
	}
	if _, err := e.AppendUpload(ctx, repo, id, 0, bytes.NewReader(body)); err != nil {
		return err
	}
	d, _, err := e.CommitUpload(ctx, repo, id, digest.FromBytes(body))
	if err != nil {
		return err
	}
	acknowledged("blob", d)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"layer":%q}`, d)
	m := digest.FromBytes(manifest)
	if err := e.PutManifest(ctx, repo, m, "", manifest); err != nil {
		return err
	}
	acknowledged("manifest", m)
	return e.Tag(ctx, repo, "latest", m)
}

func TestAKilledProcessLosesNothingAcknowledgedAndLeavesNothingHalf(t *testing.T) {
	root := t.TempDir()
	acknowledged := 0
	for range 6 {
		for _, line := range killedPusher(t, root) {
			var kind, name string
			var d digest.Digest
			if _, err := fmt.Sscan(line, &kind, &name, &d); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			repo := policy.Repository{Name: name}
			e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
			if kind == "blob" {
				if digest.FromBytes(pull(t, e, repo, d)) != d {
					t.Fatalf("acknowledged blob %s is not whole", d)
				}
			} else if _, err := e.Manifest(t.Context(), repo, d); err != nil {
				t.Fatalf("acknowledged manifest: %v", err)
			}
			acknowledged++
		}
		e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
		whole(t, e)
	}
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	if _, err := e.PurgeUploads(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	noUploads(t, root)
	t.Logf("%d writes were acknowledged over 6 kills", acknowledged)
}

// killedPusher lets a process push for a while, kills it, and returns the
// lines that it wrote whole.
func killedPusher(t *testing.T, root string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pusherRoot+"="+root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	var lines []string
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // what follows the last newline was not said
		}
		lines = append(lines, strings.TrimSpace(line))
		if len(lines) == 150 {
			_ = cmd.Process.Signal(syscall.SIGKILL)
		}
	}
	_, _ = io.Copy(io.Discard, reader)
	_ = cmd.Wait()
	if len(lines) < 150 {
		t.Fatalf("the pushing process ended by itself after %d lines", len(lines))
	}
	return lines
}

func TestAFullDiskIsSaidAndFreedAgain(t *testing.T) {
	root := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no file system of 4 MiB to be had here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	for range 3 {
		big, _ := content(t, 6<<20)
		id := start(t, e, app)
		_, err := e.AppendUpload(t.Context(), app, id, 0, bytes.NewReader(big))
		wantErr(t, err, policy.ErrNoSpace)
		noUploads(t, root)
		body, d := content(t, 1<<20)
		push(t, e, app, body, d)
		if !bytes.Equal(pull(t, e, app, d), body) {
			t.Fatal("other bytes came back")
		}
	}
}
