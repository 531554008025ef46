package oci

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/gateway/authn"
	"github.com/bondgate/bondgate/gateway/errcode"
	"github.com/bondgate/bondgate/policy"
)

func (b *bench) start(c authn.Caller, repo string) string {
	b.t.Helper()
	return b.want(b.do(c, "POST", "/v2/"+repo+"/blobs/uploads/", nothing()), 202).Header().Get("Location")
}

func TestUploadInChunks(t *testing.T) {
	b := newBench(t, Limits{ChunkMin: 7})
	first := b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/", nothing()), 202)
	if first.Header().Get("Oci-Chunk-Min-Length") != "7" || first.Header().Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Fatalf("%v", first.Header())
	}
	at := first.Header().Get("Location")
	patch := func(content, contentRange string, status int) answer {
		t.Helper()
		got := b.want(b.do(alice, "PATCH", at, strings.NewReader(content), "Content-Range: "+contentRange), status)
		if loc := got.Header().Get("Location"); loc != "" {
			at = loc
		}
		return got
	}
	if got := patch("hello ", "0-5", 202); got.Header().Get("Range") != "0-5" {
		t.Fatalf("%v", got.Header())
	}
	if got := patch("hello ", "0-5", 416); got.Header().Get("Range") != "0-5" || got.Header().Get("Location") == "" || got.code() != "RANGE_INVALID" {
		t.Fatalf("a chunk twice: %v %s", got.Header(), got.Body)
	}
	patch("x", "20-20", 416)
	patch("xy", "6-20", 400)
	patch("x", "9-2", 416)
	patch("x", "a-b", 416)
	// The process dies and another takes over: the address still holds.
	b.restart(Limits{})
	if got := b.want(b.do(alice, "GET", at, nothing()), 204); got.Header().Get("Range") != "0-5" {
		t.Fatalf("%v", got.Header())
	}
	b.want(b.do(alice, "PATCH", at, strings.NewReader("wor")), 202) // a stream says no range
	d := digest.FromString("hello world")
	b.want(b.do(alice, "PUT", at+"&digest="+string(d), strings.NewReader("ld"), "Content-Range: 3-4"), 416)
	got := b.want(b.do(alice, "PUT", at+"&digest="+string(d), strings.NewReader("ld"), "Content-Range: 9-10"), 201)
	if got.Header().Get("Location") != "/v2/p/a/blobs/"+string(d) || got.Header().Get("Docker-Content-Digest") != string(d) {
		t.Fatalf("%v", got.Header())
	}
	if got := b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(d), nothing()), 200); got.Body.String() != "hello world" {
		t.Fatal(got.Body)
	}
}

func TestUploadIsWhoseItIs(t *testing.T) {
	b := newBench(t, Limits{})
	at := b.start(alice, "p/a")
	elsewhere := strings.Replace(at, "/p/a/", "/p/b/", 1)
	bare, _, _ := strings.Cut(at, "?")
	for sentence, c := range map[string]struct {
		who  authn.Caller
		path string
	}{
		"another principal":               {bob, at},
		"the same name by another issuer": {authn.Caller{Principal: policy.Principal{Issuer: "https://idp", ID: "alice"}}, at},
		"another repository":              {alice, elsewhere},
		"no proof":                        {alice, bare},
		"a proof of something else":       {alice, bare + "?_state=AAAA"},
	} {
		for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
			got := b.do(c.who, method, c.path, unread{t})
			if got.Code != 404 || got.code() != "BLOB_UPLOAD_UNKNOWN" {
				t.Errorf("%s %s: %d %s", sentence, method, got.Code, got.Body)
			}
		}
	}
	b.want(b.do(alice, "DELETE", at, nothing()), 204)
	b.want(b.do(alice, "GET", at, nothing()), 404)
}

// Some clients send each request without a credential first, and the one that
// they have when they are asked for it.
func TestWhoDoesNotSayWhoTheyAreIsAskedWhoseUploadItIs(t *testing.T) {
	b := newBench(t, Limits{})
	at := b.start(alice, "p/a")
	for _, path := range []string{at, strings.Replace(at, "_state=", "_state=x", 1)} {
		for _, method := range []string{"GET", "PATCH", "PUT", "DELETE"} {
			var e *errcode.Error
			if got := b.do(anonymous, method, path, unread{t}); got.Code != 401 || !errors.As(got.err, &e) || e.Scope != "repository:p/a:pull,push" {
				t.Errorf("%s: %d %s", method, got.Code, got.Body)
			}
		}
	}
	own := b.start(anonymous, "p/a")
	b.want(b.do(anonymous, "PATCH", own, strings.NewReader("of nobody, where nobody may push")), 202)
}

func TestUploadRefuses(t *testing.T) {
	b := newBench(t, Limits{Blob: 8})
	good := string(digest.FromString("abc"))
	if got := b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest="+good, strings.NewReader("abd")), 400); got.code() != "DIGEST_INVALID" {
		t.Fatal(got.Body)
	}
	b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest=md5:abc", strings.NewReader("abc")), 400)
	b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest-algorithm=md5", nothing()), 400)
	b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest-algorithm=sha512", nothing()), 202)
	b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest="+good, nothing()), 202) // a session, for some clients
	b.want(b.do(alice, "PUT", b.start(alice, "p/a"), strings.NewReader("abc")), 400)   // no digest
	b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest="+good, strings.NewReader("123456789")), 413)
	at := b.start(alice, "p/a")
	b.want(b.do(alice, "PATCH", at, strings.NewReader("12345")), 202)
	b.want(b.do(alice, "PATCH", at, strings.NewReader("6789")), 413)
	b.want(b.do(alice, "PATCH", at, strings.NewReader("6")), 404) // what is too large is gone
	unknown := io.MultiReader(strings.NewReader("123456789"))
	b.want(b.do(alice, "PATCH", b.start(alice, "p/a"), unknown), 413)
	b.want(b.do(alice, "PATCH", b.start(alice, "p/a"), strings.NewReader("x"), "Content-Range: 9-9"), 413)
}

func TestABodyOfUnknownLengthIsAsLongAsItsRange(t *testing.T) {
	for content, ok := range map[string]bool{"abc": true, "ab": false, "abcd": false} {
		b := newBench(t, Limits{})
		got := b.do(alice, "PATCH", b.start(alice, "p/a"), io.MultiReader(strings.NewReader(content)), "Content-Range: 0-2")
		if ok != (got.Code == 202) || !ok && got.code() != "SIZE_INVALID" {
			t.Errorf("%q: %d %s", content, got.Code, got.Body)
		}
	}
}

func TestCommitDecidesAgainWithTheDigest(t *testing.T) {
	b := newBench(t, Limits{})
	at := b.start(alice, "p/a")
	d := digest.FromString("abc")
	pushes := 0
	b.judge = func(r policy.Request) policy.Decision {
		if r.Action == policy.BlobPush {
			if r.Upload.Digest != d {
				t.Errorf("judged without the digest: %+v", r.Upload)
			}
			if pushes++; pushes == 2 {
				return notYou // taken away while the body was on its way
			}
		}
		return yes
	}
	b.want(b.do(alice, "PUT", at+"&digest="+string(d), strings.NewReader("abc")), 403)
	if _, ok := b.content[d]; ok {
		t.Fatal("the blob is there")
	}
}

func TestASha512Blob(t *testing.T) {
	b := newBench(t, Limits{})
	d := digest.SHA512.FromString("abc")
	got := b.want(b.do(alice, "POST", "/v2/p/a/blobs/uploads/?digest="+string(d), strings.NewReader("abc")), 201)
	if got.Header().Get("Location") != "/v2/p/a/blobs/"+string(d) {
		t.Fatal(got.Header())
	}
	for _, name := range []digest.Digest{d, digest.FromString("abc")} {
		got := b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(name), nothing()), 200)
		if got.Header().Get("Docker-Content-Digest") != string(name) || got.Body.String() != "abc" {
			t.Fatal(got.Header())
		}
	}
	// A manifest that names it so is found by its canonical name.
	layer := policy.Descriptor{Digest: d, Size: 3, MediaType: tarType}
	image, _ := b.image("p/a", "v1", "", layer)
	b.asked = nil
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(d), nothing()), 200)
	if b.asked[0].Blob.Manifest != image || b.asked[0].Blob.Digest != digest.FromString("abc") {
		t.Fatalf("%+v", b.asked[0].Blob)
	}
	if b.artifacts["p/a|"+string(image)].Layers[0].Digest != digest.FromString("abc") {
		t.Fatal("the index has content under its canonical name")
	}
}

func TestAProjectIsMadeBeforeTheFirstWrite(t *testing.T) {
	b := newBench(t, Limits{})
	b.start(alice, "new/a")
	if len(b.made) != 1 || b.made[0] != "new" {
		t.Fatal(b.made)
	}
	b.make = func(string) error { return policy.ErrNotFound }
	b.judge = func(policy.Request) policy.Decision { return hidden }
	if got := b.do(alice, "POST", "/v2/other/a/blobs/uploads/", nothing()); got.code() != "NAME_UNKNOWN" {
		t.Fatal(got.Body)
	}
	b.make = func(string) error { return policy.ErrUnavailable }
	b.want(b.do(alice, "POST", "/v2/other/a/blobs/uploads/", nothing()), 503)
	made := len(b.made)
	b.do(anonymous, "POST", "/v2/other/a/blobs/uploads/", nothing())
	if len(b.made) != made {
		t.Fatal("nobody in particular made a project")
	}
}

func TestMount(t *testing.T) {
	cases := []struct {
		sentence, query string
		caller          authn.Caller
		judge           func(policy.Request) policy.Decision
		status          int
	}{
		{"both allowed", "&from=base/x", alice, nil, 201},
		{"from nowhere", "", alice, nil, 202},
		{"from a repository that has no such blob", "&from=base/y", alice, nil, 202},
		{"from a name that is none", "&from=../x", alice, nil, 202},
		{"no pull at the source", "&from=base/x", alice, func(r policy.Request) policy.Decision {
			if r.Repository.Name == "base/x" {
				return hidden
			}
			return yes
		}, 202},
		{"the source's manifest may not be pulled", "&from=base/x", alice, func(r policy.Request) policy.Decision {
			if r.Action == policy.ManifestPull {
				return no
			}
			return yes
		}, 202},
		{"the mount is refused", "&from=base/x", alice, func(r policy.Request) policy.Decision {
			if r.Action == policy.BlobMount {
				return no
			}
			return yes
		}, 202},
		{"no push at the target", "&from=base/x", alice, func(r policy.Request) policy.Decision {
			if r.Action == policy.BlobPush {
				return no
			}
			return yes
		}, 403},
		{"a token that was asked for the source and not given it", "&from=base/x", with(with(alice, "p/a", "pull", "push"), "base/x"), nil, 202},
		{"a token that reaches both", "&from=base/x", with(with(alice, "p/a", "pull", "push"), "base/x", "pull"), nil, 201},
		{"from nowhere, with a token that reaches where it is", "", with(with(alice, "p/a", "pull", "push"), "base/x", "pull"), nil, 201},
		{"from nowhere, with a token that may only push there", "", with(with(alice, "p/a", "pull", "push"), "base/x", "push"), nil, 202},
		{"from nowhere, with a token for the target alone", "", with(alice, "p/a", "pull", "push"), nil, 202},
		{"from nowhere, and no pull where it is", "", with(with(alice, "p/a", "pull", "push"), "base/x", "pull"), func(r policy.Request) policy.Decision {
			if r.Repository.Name == "base/x" {
				return hidden
			}
			return yes
		}, 202},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			b := newBench(t, Limits{})
			layer := b.blob("base/x", "layer")
			b.image("base/x", "v1", "", layer)
			b.asked = nil
			if c.judge != nil {
				b.judge = c.judge
			}
			got := b.want(b.do(c.caller, "POST", "/v2/p/a/blobs/uploads/?mount="+string(layer.Digest)+c.query, nothing()), c.status)
			if there := b.links["p/a|"+string(layer.Digest)]; there != (c.status == 201) {
				t.Errorf("the blob is there: %v", there)
			}
			if c.status == 202 && !strings.HasPrefix(got.Header().Get("Location"), "/v2/p/a/blobs/uploads/") {
				t.Errorf("%v", got.Header())
			}
			if b.asked[0].Action != policy.BlobPush || b.asked[0].Repository.Name != "p/a" {
				t.Errorf("the target is judged first: %+v", b.asked[0])
			}
		})
	}
}

func TestAMountOfWhatIsThereAlready(t *testing.T) {
	for sentence, c := range map[string]struct {
		caller authn.Caller
		status int
	}{
		"with a password":                 {alice, 201},
		"with a token that may pull":      {with(alice, "p/a", "pull", "push"), 201},
		"with a token that may only push": {with(alice, "p/a", "push"), 202},
	} {
		b := newBench(t, Limits{})
		layer := b.blob("p/a", "layer")
		b.image("p/a", "v1", "", layer)
		if got := b.do(c.caller, "POST", "/v2/p/a/blobs/uploads/?mount="+string(layer.Digest), nothing()); got.Code != c.status {
			t.Errorf("%s: %d %s", sentence, got.Code, got.Body)
		}
	}
}

func TestAChallengeToAMountNamesItsSource(t *testing.T) {
	b := newBench(t, Limits{})
	path := "/v2/p/a/blobs/uploads/?mount=" + string(digest.FromString("x")) + "&from="
	look, push := with(alice, "p/a", "pull"), with(alice, "p/a", "pull", "push")
	for _, c := range []struct {
		caller     authn.Caller
		from, want string
	}{
		{look, "base/x", "repository:p/a:pull,push repository:base/x:pull"},
		{look, "p/a", "repository:p/a:pull,push"},
		{look, "../x", "repository:p/a:pull,push"},
		{push, "base/x", "repository:p/a:pull,push repository:base/x:pull"},
	} {
		b.asked = nil
		var e *errcode.Error
		if got := b.do(c.caller, "POST", path+c.from, nothing()); !errors.As(got.err, &e) || e.Scope != c.want || !e.Insufficient {
			t.Errorf("%s: %+v", c.from, e)
		}
		if len(b.asked) > 0 {
			t.Errorf("%s: what a token lacks is the token's to say, and nothing was to be decided: %+v", c.from, b.asked)
		}
	}
}

func TestWanted(t *testing.T) {
	cases := []struct {
		sentence, header string
		start, length    int64
		asked, several   bool
		fails            bool
	}{
		{"none", "", 0, 10, false, false, false},
		{"the middle", "bytes=2-4", 2, 3, true, false, false},
		{"to the end", "bytes=2-", 2, 8, true, false, false},
		{"the last", "bytes=-3", 7, 3, true, false, false},
		{"more than there is", "bytes=8-100", 8, 2, true, false, false},
		{"the last, more than there is", "bytes=-100", 0, 10, true, false, false},
		{"all", "bytes=0-9", 0, 10, true, false, false},
		{"beyond", "bytes=10-", 0, 0, false, false, true},
		{"backwards", "bytes=5-0", 0, 0, false, false, true},
		{"the last none", "bytes=-0", 0, 0, false, false, true},
		{"nothing", "bytes=", 0, 0, false, false, true},
		{"a sign", "bytes=+1-2", 0, 0, false, false, true},
		{"a number that no integer has", "bytes=99999999999999999999-", 0, 0, false, false, true},
		{"another unit", "lines=1-2", 0, 10, false, false, false},
		{"two", "bytes=0-1,3-4", 0, 10, false, true, false},
		{"too many", "bytes=0-0" + strings.Repeat(",0-0", 50), 0, 10, false, false, false},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			got, several, err := wanted(map[string][]string{"Range": {c.header}}, `"e"`, 10)
			if c.fails != errors.Is(err, policy.ErrRange) || !c.fails && (got != span{c.start, c.length, c.asked} || several != c.several) {
				t.Fatalf("%+v %v %v", got, several, err)
			}
		})
	}
}

func FuzzWanted(f *testing.F) {
	f.Add("bytes=0-1", int64(3))
	f.Add("bytes=-1", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		s, _, err := wanted(map[string][]string{"Range": {header}}, `"e"`, size)
		if err == nil && (s.start < 0 || s.length < 0 || s.start+s.length > size || s.asked && s.length == 0) {
			t.Fatalf("%q of %d is %+v", header, size, s)
		}
	})
}

func TestRangesOfABlob(t *testing.T) {
	b := newBench(t, Limits{})
	large := strings.Repeat("0123456789", 10_000)
	for _, content := range []string{"0123456789", large} {
		d := b.blob("p/a", content).Digest
		path := "/v2/p/a/blobs/" + string(d)
		got := b.want(b.do(alice, "GET", path, nothing(), "Range: bytes=2-4"), 206)
		if got.Body.String() != "234" || !strings.HasPrefix(got.Header().Get("Content-Range"), "bytes 2-4/") || got.Header().Get("Content-Length") != "3" {
			t.Fatalf("%s %v", got.Body, got.Header())
		}
		if got := b.want(b.do(alice, "GET", path, nothing(), "Range: bytes=200000-"), 416); !strings.HasPrefix(got.Header().Get("Content-Range"), "bytes */") {
			t.Fatal(got.Header())
		}
		got = b.want(b.do(alice, "GET", path, nothing(), "Range: bytes=0-1,5-6"), 206)
		if !strings.HasPrefix(got.Header().Get("Content-Type"), "multipart/byteranges") || !strings.Contains(got.Body.String(), "56") {
			t.Fatal(got.Header())
		}
		b.want(b.do(alice, "GET", path, nothing(), "Range: bytes=2-4", `If-Range: "other"`), 200)
		b.want(b.do(alice, "GET", path, nothing(), "Range: bytes=2-4", `If-Range: "`+string(d)+`"`), 206)
		b.want(b.do(alice, "GET", path, nothing(), `If-None-Match: "`+string(d)+`"`), 304)
		if got := b.want(b.do(alice, "HEAD", path, nothing()), 200); got.Body.Len() != 0 || got.Header().Get("Accept-Ranges") != "bytes" {
			t.Fatal(got.Header())
		}
		if got := b.want(b.do(alice, "GET", path, nothing()), 200); got.Body.String() != content {
			t.Fatal("the content differs")
		}
	}
	b.judge = func(policy.Request) policy.Decision { return no }
	b.want(b.do(alice, "GET", "/v2/p/a/blobs/"+string(digest.FromString(large)), nothing(), "If-None-Match: *"), 403)
}
