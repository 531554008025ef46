package registry_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/registry"
)

// TestNoNameLeavesItsFolder gives every call every hostile name: each is refused
// before a path is made, and nothing but the layout's folders is ever written.
func TestNoNameLeavesItsFolder(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	secret := filepath.Join(outer, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": root}})
	before := files(t, outer)
	ctx := t.Context()
	d := digest.FromString("x")
	manifest := []byte("x")

	hostile := []string{"", ".", "..", "../../../../../secret", "a/../../b", "/etc/passwd", "a//b", "a/", "a\x00b", `..\..\secret`, "%2e%2e/secret", "a/_layers", "_uploads", "a/_manifests/tags/v1", "A", strings.Repeat("a", 300)}
	for _, name := range hostile {
		for _, repo := range []policy.Repository{{Name: name}, {Workspace: "w/../../..", Name: "team/app"}, {Workspace: "..", Name: "team/app"}} {
			_, statErr := e.StatBlob(ctx, repo, d)
			_, _, openErr := e.OpenBlob(ctx, repo, d)
			_, mountErr := e.MountBlob(ctx, app, repo, d)
			_, startErr := e.StartUpload(ctx, repo)
			id := "00000000-0000-4000-8000-000000000000"
			_, sizeErr := e.UploadSize(ctx, repo, id)
			_, appendErr := e.AppendUpload(ctx, repo, id, 0, strings.NewReader("x"))
			_, _, commitErr := e.CommitUpload(ctx, repo, id, d)
			_, manifestErr := e.Manifest(ctx, repo, d)
			for call, err := range map[string]error{
				"stat": statErr, "open": openErr, "mount": mountErr, "start": startErr, "size": sizeErr, "append": appendErr, "commit": commitErr, "manifest": manifestErr,
				"delete blob": e.DeleteBlob(ctx, repo, d), "cancel": e.CancelUpload(ctx, repo, id), "put": e.PutManifest(ctx, repo, d, "", manifest),
				"delete manifest": e.DeleteManifest(ctx, repo, d), "tag": e.Tag(ctx, repo, "v1", d), "untag": e.Untag(ctx, repo, "v1"),
			} {
				if err == nil {
					t.Errorf("%s went through for %q", call, repo)
					continue
				}
				wantErr(t, err, policy.ErrInvalid)
			}
		}
	}
	for _, id := range append(hostile, "../../../../../../../../secret\x00", "00000000-0000-4000-8000-00000000000/", "../../00-0000-4000-8000-000000000000") {
		_, sizeErr := e.UploadSize(ctx, app, id)
		_, appendErr := e.AppendUpload(ctx, app, id, -1, strings.NewReader("x"))
		_, _, commitErr := e.CommitUpload(ctx, app, id, d)
		for _, err := range []error{sizeErr, appendErr, commitErr, e.CancelUpload(ctx, app, id)} {
			wantErr(t, err, policy.ErrNotFound)
		}
	}
	for _, tag := range []string{"", ".", "..", "../../x", "a/b", "a\x00", "-a", strings.Repeat("t", 129)} {
		wantErr(t, e.Tag(ctx, app, tag, d), policy.ErrInvalid)
		wantErr(t, e.Untag(ctx, app, tag), policy.ErrInvalid)
	}
	for _, bad := range []digest.Digest{"", "sha256:", "sha256:..", "sha256:../../../../secret", digest.Digest("sha256:" + strings.Repeat("A", 64)), digest.Digest("sha256:" + strings.Repeat("a", 63) + "/"), digest.Digest("../:" + strings.Repeat("a", 64)), digest.SHA512.FromString("x")} {
		_, statErr := e.StatBlob(ctx, app, bad)
		_, manifestErr := e.Manifest(ctx, app, bad)
		for _, err := range []error{statErr, manifestErr, e.DeleteBlob(ctx, app, bad), e.PutManifest(ctx, app, bad, "", manifest), e.Tag(ctx, app, "v1", bad)} {
			wantErr(t, err, policy.ErrInvalid)
		}
	}
	if after := files(t, outer); after != before {
		t.Fatalf("something was written or removed:\n%s\nbefore:\n%s", after, before)
	}
}

func files(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		all.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestAWorkspaceAndARepositoryOfTheSameNameDoNotMeet(t *testing.T) {
	e := open(t, registry.Config{Parameters: map[string]any{"rootdirectory": t.TempDir()}})
	body, d := content(t, 10)
	push(t, e, policy.Repository{Name: "workspaces/second/docker/registry/v2/repositories/team/app"}, body, d)
	_, err := e.StatBlob(t.Context(), policy.Repository{Workspace: "second", Name: "team/app"}, d)
	wantErr(t, err, policy.ErrNotFound)
}

func TestTheStorageIsConfigured(t *testing.T) {
	s3 := map[string]any{"region": "us-east-1", "bucket": "images", "accesskey": "a", "secretkey": "b", "regionendpoint": "http://127.0.0.1:1", "forcepathstyle": true, "rootdirectory": "/bondgate"}
	without := func(key string) map[string]any {
		m := map[string]any{}
		for k, v := range s3 {
			if k != key {
				m[k] = v
			}
		}
		return m
	}
	tests := map[string]struct {
		cfg registry.Config
		err error
	}{
		"files need a folder":                     {registry.Config{}, policy.ErrInvalid},
		"files in a folder":                       {registry.Config{Driver: "filesystem", Parameters: map[string]any{"rootdirectory": filepath.Join(t.TempDir(), "new", "folder")}}, nil},
		"an unknown parameter of files is named":  {registry.Config{Parameters: map[string]any{"rootdirectory": t.TempDir(), "rootdir": "x"}}, policy.ErrInvalid},
		"fsync is true or false":                  {registry.Config{Parameters: map[string]any{"rootdirectory": t.TempDir(), "fsync": "often"}}, policy.ErrInvalid},
		"a folder that is a file":                 {registry.Config{Parameters: map[string]any{"rootdirectory": "/dev/null/x"}}, policy.ErrUnavailable},
		"an unknown driver":                       {registry.Config{Driver: "floppy"}, policy.ErrInvalid},
		"s3 with a region and a bucket":           {registry.Config{Driver: "s3aws", Parameters: s3}, nil},
		"s3 without a bucket":                     {registry.Config{Driver: "s3aws", Parameters: without("bucket")}, policy.ErrInvalid},
		"s3 in no region and at no endpoint":      {registry.Config{Driver: "s3aws", Parameters: map[string]any{"bucket": "images"}}, policy.ErrInvalid},
		"azure without an account":                {registry.Config{Driver: "azure", Parameters: map[string]any{"container": "c"}}, policy.ErrInvalid},
		"azure with an account, a container, key": {registry.Config{Driver: "azure", Parameters: map[string]any{"accountname": "a", "accountkey": "a2V5", "container": "c", "credentials": map[string]any{"type": "shared_key"}}}, nil},
		"gcs without a bucket":                    {registry.Config{Driver: "gcs", Parameters: map[string]any{}}, policy.ErrInvalid},
		"memory needs nothing":                    {registry.Config{Driver: "inmemory"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := registry.Open(t.Context(), test.cfg)
			if test.err != nil {
				wantErr(t, err, test.err)
				return
			}
			if err != nil || e == nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAnUnreachableBucketIsUnavailable(t *testing.T) {
	e := open(t, registry.Config{Driver: "s3aws", Parameters: map[string]any{
		"region": "us-east-1", "bucket": "images", "accesskey": "a", "secretkey": "b", "regionendpoint": "http://127.0.0.1:1", "forcepathstyle": true,
	}})
	_, err := e.StatBlob(t.Context(), app, digest.FromString("x"))
	wantErr(t, err, policy.ErrUnavailable)
	wantErr(t, e.Check(t.Context()), policy.ErrUnavailable)
}
