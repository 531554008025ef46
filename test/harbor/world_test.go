package harbor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const password = "Correct-horse-1"

// world is a server with nothing in it but its administrator.
type world struct {
	*harness.Gateway
	t testing.TB
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{harness.StartGateway(t, harness.Options{}), t}
}

// as sends a request as somebody, with a JSON body where there is one.
func (w *world) as(user, method, path string, body any) harness.Response {
	w.t.Helper()
	secret := password
	if user == harness.AdminUser {
		secret = harness.AdminPassword
	}
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.Do(method, "/api/v2.0"+path, user, secret, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(raw))
}

// do is as the administrator, and the answer has the status.
func (w *world) do(status int, method, path string, body any) harness.Response {
	w.t.Helper()
	r := w.as(harness.AdminUser, method, path, body)
	if r.Status != status {
		w.t.Fatalf("%s %s: %d %s, not %d", method, path, r.Status, r.Body, status)
	}
	return r
}

// make posts and answers the number at the end of the Location.
func (w *world) make(path string, body any) string {
	w.t.Helper()
	r := w.do(http.StatusCreated, http.MethodPost, path, body)
	location := r.Header.Get("Location")
	if !strings.HasPrefix(location, "/api/v2.0"+path+"/") {
		w.t.Fatalf("POST %s: the Location is %q", path, location)
	}
	return location[strings.LastIndexByte(location, '/')+1:]
}

// push puts a manifest with an empty configuration into a repository.
func (w *world) push(repository, tag string) {
	w.t.Helper()
	blob := []byte("{}")
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(blob))
	kind := http.Header{"Content-Type": {"application/octet-stream"}}
	r := w.Do(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+digest, harness.AdminUser, harness.AdminPassword, kind, bytes.NewReader(blob))
	if r.Status != http.StatusCreated {
		w.t.Fatalf("push a blob: %d %s", r.Status, r.Body)
	}
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	empty := object{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": len(blob)}
	raw, err := json.Marshal(object{
		"schemaVersion": 2, "mediaType": manifest, "artifactType": "application/x.test", "config": empty, "layers": []object{empty},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	kind = http.Header{"Content-Type": {manifest}}
	r = w.Do(http.MethodPut, "/v2/"+repository+"/manifests/"+tag, harness.AdminUser, harness.AdminPassword, kind, bytes.NewReader(raw))
	if r.Status != http.StatusCreated {
		w.t.Fatalf("push a manifest: %d %s", r.Status, r.Body)
	}
}

type object = map[string]any

// reads compares an answer with what is expected, field by field: no field may be
// missing and none may be there that is not expected. A field "*" may be anything.
func (w *world) reads(path string, want any) {
	w.t.Helper()
	r := w.do(http.StatusOK, http.MethodGet, path, nil)
	var got any
	if err := json.Unmarshal(r.Body, &got); err != nil {
		w.t.Fatalf("GET %s: %s: %v", path, r.Body, err)
	}
	raw, err := json.Marshal(want)
	if err != nil {
		w.t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		w.t.Fatal(err)
	}
	if diff := differs("", got, plain); diff != "" {
		w.t.Fatalf("GET %s: %s\ngot  %s\nwant %s", path, diff, r.Body, raw)
	}
}

const anything = "*"

func differs(at string, got, want any) string {
	if want == anything {
		return ""
	}
	switch want := want.(type) {
	case object:
		got, ok := got.(object)
		if !ok {
			return at + " is no object"
		}
		for k := range got {
			if _, ok := want[k]; !ok {
				return fmt.Sprintf("%s.%s is not expected", at, k)
			}
		}
		for k, v := range want {
			if _, ok := got[k]; !ok {
				return fmt.Sprintf("%s.%s is missing", at, k)
			}
			if d := differs(at+"."+k, got[k], v); d != "" {
				return d
			}
		}
		return ""
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return fmt.Sprintf("%s has not %d items", at, len(want))
		}
		for i := range want {
			if d := differs(fmt.Sprintf("%s[%d]", at, i), got[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	default:
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s is %v, not %v", at, got, want)
		}
		return ""
	}
}
