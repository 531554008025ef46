package conformance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// mounted counts the blobs that were mounted into a repository.
func (w *world) mounted(repository string) int {
	n := 0
	for line := range strings.SplitSeq(w.Log(), "\n") {
		if strings.Contains(line, "path=/v2/"+repository+"/blobs/uploads/ ") && strings.Contains(line, "action=blob.mount") && strings.Contains(line, "status=201") {
			n++
		}
	}
	return n
}

// "Mounting a blob from another repository": real clients get the token that it
// needs, whether they ask for it by themselves or because they are told.
func TestClientsMountWhatTheyMayPull(t *testing.T) {
	w := newWorld(t, "")
	w.as(mara).pushed("v1")
	source := w.Ref(repo, "v1")
	for name, copyTo := range map[string]func(t *testing.T, target string) harness.Result{
		"crane": func(t *testing.T, target string) harness.Result {
			crane := harness.Crane(t)
			crane.RunWithInput(password, "auth", "login", w.Host, "--username", mara, "--password-stdin").OK(t)
			return crane.Run("copy", source, target)
		},
		"regctl": func(t *testing.T, target string) harness.Result {
			regctl := harness.Regctl(t)
			regctl.Run("registry", "set", "--skip-check", "--tls", "disabled", w.Host).OK(t)
			regctl.RunWithInput(password, "registry", "login", w.Host, "--user", mara, "--pass-stdin").OK(t)
			return regctl.Run("image", "copy", source, target)
		},
	} {
		t.Run(name, func(t *testing.T) {
			copyTo(t, w.Ref("spec/by-"+name, "v1")).OK(t)
			if got := w.mounted("spec/by-" + name); got != 2 {
				t.Errorf("%d of two blobs were mounted", got)
			}
		})
	}
}

// docker mounts from where it pushed the layers before, and uploads where it may
// not pull there.
func TestDockerMountsWhatItMayPull(t *testing.T) {
	docker := harness.StartDocker(t)
	w := newWorld(t, "")
	w.manage("POST", "/projects", object{"name": "closed", "public": false})
	for _, c := range []struct {
		sentence, project string
		mounted           bool
	}{
		{"from a repository that she may pull", "spec", true},
		{"from a repository that is closed to her", "closed", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			first, second := w.Ref(c.project+"/base", "v1"), w.Ref("spec/from-"+c.project, "v1")
			archive := harness.Image(t, harness.ImageSpec{Name: first, User: "1000"})
			docker.Login(w.Host, harness.AdminUser, harness.AdminPassword)
			docker.Run("load", "--input", archive).OK(t)
			docker.Run("push", first).OK(t)
			docker.Login(w.Host, mara, password)
			docker.Run("tag", first, second).OK(t)
			docker.Run("push", second).OK(t)
			if got := w.mounted("spec/from-" + c.project); (got > 0) != c.mounted {
				t.Errorf("%d layers were mounted", got)
			}
			if !strings.Contains(w.Log(), fmt.Sprintf("path=/v2/spec/from-%s/blobs/uploads/ ", c.project)) {
				t.Error("nothing was pushed")
			}
		})
	}
}
