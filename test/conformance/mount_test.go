package conformance

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// "Mounting a blob from another repository", end-11.
func TestMountABlob(t *testing.T) {
	w := newWorld(t, "")
	c := w.as(mara)
	w.manage(http.MethodPost, "/projects", object{"name": "closed", "public": false})
	content := []byte("a blob of another repository")
	d, closed := c.blob("spec/base", content), []byte("a blob of a project that is closed to her")
	if r := w.Do(http.MethodPost, "/v2/closed/base/blobs/uploads/?digest="+sha256Of(closed), harness.AdminUser, harness.AdminPassword, nil, bytes.NewReader(closed)); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	target := func(name, query string) string { return "/v2/spec/" + name + "/blobs/uploads/?mount=" + query }

	t.Run("the challenge asks for the source too", func(t *testing.T) {
		bare := w.Do(http.MethodPost, target("one", d+"&from=spec/base"), "", "", nil, nil)
		if got := w.challenge(bare).scope; got != "repository:spec/one:pull,push repository:spec/base:pull" {
			t.Errorf("it asks for %q", got)
		}
	})
	t.Run("a token for the target alone is asked for more", func(t *testing.T) {
		token := c.token(challenge{w.URL() + "/token", "", "repository:spec/one:pull,push"})
		r := w.DoWithToken(http.MethodPost, target("one", d+"&from=spec/base"), token, nil)
		want(t, "end-11", r, http.StatusUnauthorized, "UNAUTHORIZED")
		if got := w.challenge(r).scope; got != "repository:spec/one:pull,push repository:spec/base:pull" {
			t.Errorf("it asks for %q", got)
		}
	})
	for name, digestOf := range algorithms {
		other := []byte("by " + name)
		d := digestOf(other)
		if r := c.do(http.MethodPost, "/v2/spec/base/blobs/uploads/?digest="+d, nil, other); r.Status != http.StatusCreated {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		r := c.do(http.MethodPost, target("by-"+name, d+"&from=spec/base"), nil, nil)
		c.pulls(t, "end-11, a mount by "+name, r, d, other)
	}
	for _, m := range []struct{ sentence, query string }{
		{"what is not there becomes an upload", sha256Of([]byte("absent")) + "&from=spec/base"},
		{"what is of a repository that is not there becomes an upload", d + "&from=spec/nothing"},
		{"what one may not pull becomes an upload", sha256Of(closed) + "&from=closed/base"},
		{"what is in no repository that the token names becomes an upload", sha256Of(closed)},
		{"what is of no name becomes an upload", d + "&from=../base"},
	} {
		t.Run(m.sentence, func(t *testing.T) {
			r := c.do(http.MethodPost, target("two", m.query), nil, nil)
			want(t, "end-11", r, http.StatusAccepted, "")
			c.pulls(t, "the upload", c.finish(location(t, r), d, nil, content), d, content)
			want(t, "clean up", c.do(http.MethodDelete, "/v2/spec/two/blobs/"+d, nil, nil), http.StatusAccepted, "")
		})
	}
	t.Run("without a source it is found where the token may pull", func(t *testing.T) {
		token := c.token(challenge{w.URL() + "/token", "", "repository:spec/three:pull,push repository:spec/base:pull repository:closed/base:pull"})
		c.pulls(t, "end-11", w.DoWithToken(http.MethodPost, target("three", d), token, nil), d, content)
		want(t, "end-11, not where it may not", w.DoWithToken(http.MethodPost, target("three", sha256Of(closed)), token, nil), http.StatusAccepted, "")
	})
	t.Run("without a source what is there already is there", func(t *testing.T) {
		c.pulls(t, "end-11", c.do(http.MethodPost, target("base", d), nil, nil), d, content)
	})
	want(t, "end-11, a digest that is none", c.do(http.MethodPost, target("one", "sha256:abc&from=spec/base"), nil, nil), http.StatusBadRequest, "DIGEST_INVALID")
	token := w.as(gus).token(challenge{w.URL() + "/token", "", "repository:spec/one:pull,push repository:spec/base:pull"})
	want(t, "end-11, who may not push", w.DoWithToken(http.MethodPost, target("one", d+"&from=spec/base"), token, nil), http.StatusUnauthorized, "UNAUTHORIZED")
}
