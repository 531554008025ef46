package kill_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/bondgate/bondgate/test/harness"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// image is one push: a layer, a configuration, a manifest and the tag of its own.
type image struct {
	tag             string
	layer, config   []byte
	manifest        []byte
	layerD, configD string
	digest          string
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func newImage(rnd *rand.Rand, tag string) *image {
	im := &image{tag: tag, layer: make([]byte, 1+rnd.IntN(512<<10))}
	for i := 0; i+8 <= len(im.layer); i += 8 {
		v := rnd.Uint64()
		for k := range 8 {
			im.layer[i+k] = byte(v >> (8 * k))
		}
	}
	im.layerD = digestOf(im.layer)
	im.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, im.layerD)
	im.configD = digestOf(im.config)
	im.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, im.configD, len(im.config), im.layerD, len(im.layer))
	im.digest = digestOf(im.manifest)
	return im
}

// pusher is one client with a repository of its own and a memory of what it was
// promised.
type pusher struct {
	g    *harness.Gateway
	repo string
	rnd  *rand.Rand
	next int

	acknowledged []*image
	judged       int
	// inFlight is the push that the crash cut; nil for none.
	inFlight *image
	// refused is an answer that no crash explains.
	refused error
	client  *http.Client
}

func newPusher(g *harness.Gateway, n int, seed uint64) *pusher {
	return &pusher{
		g: g, repo: fmt.Sprintf("kill/c%d", n), rnd: rand.New(rand.NewPCG(seed, 2)),
		client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}},
	}
}

// pushUntil pushes image after image until stop is closed or the server is gone.
func (p *pusher) pushUntil(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		im := newImage(p.rnd, fmt.Sprintf("t%d", p.next))
		p.next++
		p.inFlight = im
		if err := p.push(im); err != nil {
			var r *refusal
			if errors.As(err, &r) {
				p.refused = err
			}
			return
		}
		p.acknowledged, p.inFlight = append(p.acknowledged, im), nil
	}
}

// refusal is an answer of a server that lives: not what a crash looks like.
type refusal struct {
	what   string
	status int
	body   []byte
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %d %s", r.what, r.status, r.body) }

// push uploads the blobs and puts the manifest under its own tag and latest.
func (p *pusher) push(im *image) error {
	for _, b := range []struct {
		d    string
		data []byte
	}{{im.layerD, im.layer}, {im.configD, im.config}} {
		if err := p.upload(b.d, b.data); err != nil {
			return err
		}
	}
	_, err := p.send("put the manifest", http.MethodPut, "/v2/"+p.repo+"/manifests/"+im.digest+"?tag="+im.tag+"&tag=latest", im.manifest, http.StatusCreated)
	return err
}

func (p *pusher) upload(digest string, data []byte) error {
	resp, err := p.send("start an upload", http.MethodPost, "/v2/"+p.repo+"/blobs/uploads/", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	at, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	if half := len(data) / 2; half > 0 && p.rnd.IntN(2) == 0 {
		if resp, err = p.send("append", http.MethodPatch, at.RequestURI(), data[:half], http.StatusAccepted); err != nil {
			return err
		}
		if at, err = at.Parse(resp.Header.Get("Location")); err != nil {
			return err
		}
		data = data[half:]
	}
	q := at.Query()
	q.Set("digest", digest)
	at.RawQuery = q.Encode()
	_, err = p.send("finish an upload", http.MethodPut, at.RequestURI(), data, http.StatusCreated)
	return err
}

func (p *pusher) send(what, method, target string, body []byte, want int) (*http.Response, error) {
	req, err := http.NewRequest(method, p.g.URL()+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(harness.AdminUser, harness.AdminPassword)
	req.Header.Set("Content-Type", "application/octet-stream")
	if what == "put the manifest" {
		req.Header.Set("Content-Type", manifestType)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, &refusal{what, resp.StatusCode, text}
	}
	return resp, nil
}

// get reads one thing; found is false for a 404.
func (p *pusher) get(target string) (body []byte, found bool, err error) {
	r, err := http.NewRequest(http.MethodGet, p.g.URL()+target, nil)
	if err != nil {
		return nil, false, err
	}
	r.SetBasicAuth(harness.AdminUser, harness.AdminPassword)
	r.Header["Accept"] = harness.Accept["Accept"]
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, false, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, false, nil
	case resp.StatusCode != http.StatusOK:
		return nil, false, fmt.Errorf("GET %s: %s %s", target, resp.Status, body)
	}
	return body, true, nil
}

// pull reads the image by its tag and every blob of it, bit for bit.
func (p *pusher) pull(im *image) error {
	for target, want := range map[string][]byte{
		"/v2/" + p.repo + "/manifests/" + im.tag:    im.manifest,
		"/v2/" + p.repo + "/manifests/" + im.digest: im.manifest,
		"/v2/" + p.repo + "/blobs/" + im.layerD:     im.layer,
		"/v2/" + p.repo + "/blobs/" + im.configD:    im.config,
	} {
		got, found, err := p.get(target)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("GET %s: not found", target)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("GET %s: %d other bytes, want %d", target, len(got), len(want))
		}
	}
	return nil
}

// wholeOrAbsent judges a push that nobody acknowledged: no tag and no manifest
// of it, or all of it.
func (p *pusher) wholeOrAbsent(im *image) (whole bool, err error) {
	_, byTag, err := p.get("/v2/" + p.repo + "/manifests/" + im.tag)
	if err != nil {
		return false, err
	}
	_, byDigest, err := p.get("/v2/" + p.repo + "/manifests/" + im.digest)
	if err != nil {
		return false, err
	}
	if byTag != byDigest {
		return false, fmt.Errorf("half there: by tag %v, by digest %v", byTag, byDigest)
	}
	before := im
	if !byTag {
		if len(p.acknowledged) == 0 {
			_, found, err := p.get("/v2/" + p.repo + "/manifests/latest")
			if err == nil && found {
				err = errors.New("latest names an image that is not there")
			}
			return false, err
		}
		before = p.acknowledged[len(p.acknowledged)-1]
	} else if err := p.pull(im); err != nil {
		return false, err
	}
	return byTag, p.tagIs("latest", before)
}

func (p *pusher) tagIs(tag string, im *image) error {
	got, found, err := p.get("/v2/" + p.repo + "/manifests/" + tag)
	if err != nil {
		return err
	}
	if !found || !bytes.Equal(got, im.manifest) {
		return fmt.Errorf("%s is not %s (found: %v)", tag, im.tag, found)
	}
	return nil
}
