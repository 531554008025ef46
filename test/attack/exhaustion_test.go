package attack_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 22: who sends slowly, without end or not at all, and who asks for more
// than there is, is answered; others are served meanwhile. CVE-2017-11468 and
// CVE-2023-2253 of distribution are of this kind.

// slow is a connection to the server that is patient far beyond its limits.
func (w *world) slow() net.Conn {
	w.t.Helper()
	conn, err := dialHost(w.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

func (w *world) serves(im image) {
	w.t.Helper()
	if r := w.as(gus, http.MethodGet, "/v2/"+im.repo+"/manifests/"+im.tag, harness.Accept, nil); r.Status != http.StatusOK {
		w.t.Errorf("others: %d %s", r.Status, r.Body)
	}
}

func TestSlownessHasAnEnd(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "limits:\n  header_time: 1s\n  body_idle: 1s\n  body_time: 1s\n  idle: 1s\n"})
	im := w.push(alice, newImage("red/app", "v1", "slowness", "1000", nil))
	blob := []byte(strings.Repeat("x", 40))
	auth := "Authorization: Basic " + basic(alice) + "\r\n"
	post := "POST /v2/red/app/blobs/uploads/?digest=" + digestOf(blob) + " HTTP/1.1\r\nHost: " + w.Host + "\r\n" + auth
	for _, c := range []struct{ name, text, status string }{
		{"a header that does not end", "GET /v2/ HTTP/1.1\r\nHost: " + w.Host + "\r\n", ""},
		{"nothing at all", "", ""},
		{"a blob that stops", post + "Content-Length: 40\r\n\r\nxxx", " 408 "},
		{"a chunk of a stream that stops", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n", " 408 "},
		{"a manifest that stops", "PUT /v2/red/app/manifests/v2 HTTP/1.1\r\nHost: " + w.Host + "\r\n" + auth + "Content-Length: 40\r\n\r\n{", " 408 "},
		{
			"a form that stops, of nobody", "POST /token HTTP/1.1\r\nHost: " + w.Host +
				"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 40\r\n\r\ngrant", " 408 ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := w.slow()
			_, _ = io.WriteString(conn, c.text)
			answer, err := io.ReadAll(conn) // to the end: the server closes
			if err != nil && len(answer) == 0 && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			if line, _, _ := strings.Cut(string(answer), "\r\n"); c.status == "" && line != "" && !strings.Contains(line, " 408 ") || !strings.Contains(line, c.status) {
				t.Errorf("answered %q", answer)
			}
			w.serves(im)
		})
	}
	t.Run("a push that is slow and goes on is taken", func(t *testing.T) {
		conn := w.slow()
		_, _ = io.WriteString(conn, post+"Content-Length: 40\r\n\r\n")
		for range blob { // longer than the limit altogether
			time.Sleep(50 * time.Millisecond)
			_, _ = io.WriteString(conn, "x")
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 201 ") {
			t.Errorf("answered %q, %v", line, err)
		}
	})
}

func TestAReaderThatStallsIsCutOff(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "limits:\n  write_idle: 1s\n"})
	blob := []byte(strings.Repeat("0123456789abcdef", 4<<20)) // more than the kernels keep between them
	if r := w.upload(alice, "red/app", blob); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	get := "GET /v2/red/app/blobs/" + digestOf(blob) + " HTTP/1.1\r\nHost: " + w.Host + "\r\nAuthorization: Basic " + basic(alice) + "\r\n\r\n"
	stalled := w.slow()
	_, _ = io.WriteString(stalled, get)
	reader := bufio.NewReader(stalled)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Fatalf("answered %q, %v", line, err)
	}
	harness.Eventually(t, "the request ends", func() error {
		if strings.Contains(w.Log(), "a blob was cut short") {
			return nil
		}
		return fmt.Errorf("it goes on")
	})
	if n, err := io.Copy(io.Discard, reader); err == nil && n >= int64(len(blob)) {
		t.Error("the stalled reader got it all")
	}
	// One that reads in its own time gets it all.
	if r := w.as(alice, http.MethodGet, "/v2/red/app/blobs/"+digestOf(blob), nil, nil); r.Status != http.StatusOK || len(r.Body) != len(blob) {
		t.Errorf("%d, %d bytes", r.Status, len(r.Body))
	}
}

func TestTenThousandIdleConnectionsKeepNobodyOut(t *testing.T) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Config: "limits:\n  connections: 2000\n"})
	im := w.push(alice, newImage("red/app", "v1", "crowd", "1000", nil))
	many := int(min(10_000, files.Cur/2)) // the test has files of its own
	t.Logf("%d connections", many)
	for i := range many {
		conn := w.slow()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: ")
		}
		if i%1000 == 999 {
			w.serves(im)
		}
	}
	w.serves(im)
}

func TestUploadsAreBoundedAndExpire(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "limits:\n  uploads_per_principal: 20\n"})
	var open []string
	for range 20 {
		open = append(open, w.session(alice, "red/app"))
	}
	for range 100 {
		r := w.as(alice, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil)
		if r.Status != http.StatusTooManyRequests || code(r) != "TOOMANYREQUESTS" || r.Header.Get("Retry-After") == "" {
			t.Fatalf("one more: %d %s %v", r.Status, r.Body, r.Header)
		}
	}
	w.session(mike, "red/app") // others are not concerned
	if r := w.as(alice, http.MethodDelete, open[0], nil, nil); r.Status != http.StatusNoContent {
		t.Fatalf("cancel: %d %s", r.Status, r.Body)
	}
	w.push(alice, newImage("red/app", "v1", "bounded", "1000", nil))

	expiring := newWorld(t, harness.Options{Config: "limits:\n  upload_expiry: 1s\n"})
	session := expiring.session(alice, "red/app")
	harness.Eventually(t, "the upload is gone", func() error {
		if r := expiring.as(alice, http.MethodGet, session, nil, nil); r.Status != http.StatusNotFound || code(r) != "BLOB_UPLOAD_UNKNOWN" {
			return fmt.Errorf("%d %s", r.Status, r.Body)
		}
		return nil
	})
}

// halfOpen sends the beginning of a chunk and leaves it at that.
func (w *world) halfOpen(user, session string) {
	w.t.Helper()
	_, err := io.WriteString(w.slow(), "PATCH "+session+" HTTP/1.1\r\nHost: "+w.Host+"\r\nAuthorization: Basic "+basic(user)+
		"\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("x", 1000))
	if err != nil {
		w.t.Fatal(err)
	}
}

// With the limits that a server has when nobody sets any.
func TestAThousandHalfOpenUploadsKeepNobodyOut(t *testing.T) {
	w := newWorld(t, harness.Options{})
	for _, user := range []string{alice, mike} {
		for range 500 {
			w.halfOpen(user, w.session(user, "red/app"))
		}
		r := w.as(user, http.MethodPost, "/v2/red/app/blobs/uploads/", nil, nil)
		if r.Status != http.StatusTooManyRequests || code(r) != "TOOMANYREQUESTS" || r.Header.Get("Retry-After") == "" {
			t.Fatalf("%s, one more: %d %s %v", user, r.Status, r.Body, r.Header)
		}
	}
	w.serves(w.push(pat, newImage("red/app", "v1", "half open", "1000", nil)))
}

func TestTooMuchAtOnceIsAnswered(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "limits:\n  header_bytes: 16384\n  page: 3\n  scopes: 5\n  referrers: 2\n  manifest_bytes: 65536\n  manifest_tags: 6\n"})
	im := w.push(alice, newImage("red/app", "v1", "much", "1000", nil))
	for i := range 5 {
		again := im
		again.tag = fmt.Sprintf("t%d", i)
		if r := w.put(alice, again, manifestType); r.Status != http.StatusCreated {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	for name, flood := range map[string]string{
		"many headers":       "/v2/ HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("X-Flood: "+strings.Repeat("f", 90)+"\r\n", 500),
		"one long header":    "/v2/ HTTP/1.1\r\nHost: HOST\r\nX-Flood: " + strings.Repeat("f", 50_000) + "\r\n",
		"many short headers": "/v2/ HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("a:\r\n", 10_000),
		"a long path":        "/v2/" + strings.Repeat("f", 50_000) + " HTTP/1.1\r\nHost: HOST\r\n",
	} {
		t.Run("a flood of headers: "+name, func(t *testing.T) {
			if answer := w.rawRequest("GET " + flood + "\r\n"); !strings.Contains(answer, " 431 ") {
				t.Errorf("answered %.200q", answer)
			}
		})
	}
	t.Run("a flood of trailers", func(t *testing.T) {
		flood := strings.Repeat("X-Flood: "+strings.Repeat("f", 90)+"\r\n", 500)
		answer := w.rawRequest("POST /v2/red/app/blobs/uploads/?digest=" + digestOf([]byte("xxx")) + " HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nAuthorization: Basic " +
			basic(alice) + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n0\r\n" + flood + "\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 4") {
			t.Errorf("answered %.200q", answer)
		}
	})
	t.Run("n of a thousand million", func(t *testing.T) {
		for _, path := range []string{"/v2/red/app/tags/list", "/v2/_catalog"} {
			if r := w.as(admin, http.MethodGet, path+"?n=1000000000", nil, nil); r.Status != http.StatusOK {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		r := w.as(gus, http.MethodGet, "/v2/red/app/tags/list?n=1000000000", nil, nil)
		if !strings.Contains(r.Header.Get("Link"), "n=3") || strings.Count(string(r.Body), ",") != 3 {
			t.Errorf("%s %v", r.Body, r.Header)
		}
	})
	t.Run("a manifest that is too large", func(t *testing.T) {
		for _, size := range []int{65537, 4<<20 + 1} {
			large := im
			large.tag, large.manifest = "large", []byte(strings.Repeat(" ", size))
			if r := w.put(alice, large, manifestType); r.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d bytes: %d %s", size, r.Status, r.Body)
			}
		}
	})
	t.Run("many scopes", func(t *testing.T) {
		for _, n := range []int{6, 101} {
			scopes := url.Values{}
			for i := range n {
				scopes.Add("scope", fmt.Sprintf("repository:red/r%d:pull", i))
			}
			if r := w.as(alice, http.MethodGet, "/token?"+scopes.Encode(), nil, nil); r.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d: %d %s", n, r.Status, r.Body)
			}
		}
	})
	t.Run("many tags on a manifest", func(t *testing.T) {
		again := im
		again.tag = "seventh"
		if r := w.put(alice, again, manifestType); r.Status/100 != 4 {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
	t.Run("many referrers", func(t *testing.T) {
		var last harness.Response
		for i := range 3 {
			ref := newImage("red/app", fmt.Sprintf("ref%d", i), fmt.Sprintf("ref%d", i), "1000", func(m map[string]any) {
				m["subject"] = map[string]any{"mediaType": manifestType, "digest": im.digest, "size": len(im.manifest)}
			})
			w.upload(alice, ref.repo, ref.layer)
			w.upload(alice, ref.repo, ref.config)
			last = w.put(alice, ref, manifestType)
		}
		if last.Status/100 != 4 {
			t.Errorf("the third of two: %d %s", last.Status, last.Body)
		}
	})
	w.serves(im)
}
