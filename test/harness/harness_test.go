package harness_test

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/bondgate/bondgate/test/harness"
)

func TestDockerAndContainerdStartPrivately(t *testing.T) {
	archive := harness.Image(t, harness.ImageSpec{Name: "harness/small:1", User: "1000", Labels: map[string]string{"a": "b"}})
	t.Run("docker loads an image of ours", func(t *testing.T) {
		t.Parallel()
		d := harness.StartDocker(t)
		d.Run("load", "--input", archive).OK(t)
		if got := d.Run("inspect", "--format", "{{.Config.User}} {{.Config.Labels.a}}", "harness/small:1").OK(t); got != "1000 b" {
			t.Errorf("the image says %q, want user 1000 and label b", got)
		}
	})
	t.Run("containerd imports it", func(t *testing.T) {
		t.Parallel()
		c := harness.StartContainerd(t)
		c.Run("images", "import", archive).OK(t)
		if got := c.Run("images", "ls", "-q").OK(t); !strings.Contains(got, "harness/small:1") {
			t.Errorf("ctr lists %q", got)
		}
	})
	for name, tool := range map[string]func(testing.TB) *harness.Tool{"podman": harness.Podman, "buildah": harness.Buildah} {
		t.Run(name+" pulls it", func(t *testing.T) {
			t.Parallel()
			c := tool(t)
			id := c.Run("pull", "-q", "docker-archive:"+archive).OK(t)
			if id == "" {
				t.Error("no image id")
			}
		})
	}
}

func TestServicesStartPrivately(t *testing.T) {
	t.Run("postgres answers a query", func(t *testing.T) {
		t.Parallel()
		dsn := harness.StartPostgres(t)
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		harness.Eventually(t, "query", func() error {
			var one int
			return db.QueryRow("select 1").Scan(&one)
		})
	})
	t.Run("distribution takes a push", func(t *testing.T) {
		t.Parallel()
		host := harness.StartDistribution(t)
		archive := harness.Image(t, harness.ImageSpec{Name: "harness/small:1"})
		crane := harness.Crane(t)
		crane.Run("push", archive, host+"/a/b:1").OK(t)
		crane.Run("pull", host+"/a/b:1", filepath.Join(t.TempDir(), "out.tar")).OK(t)
		resp, err := http.Get("http://" + host + "/v2/_catalog")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("catalog: %s", resp.Status)
		}
	})
}
