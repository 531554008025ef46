package attack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

const (
	bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	sbomType   = "application/spdx+json"
)

// attached makes an accessory of the subject that says it is of the type.
func attached(repo, tag, text, artifactType string, subject image) image {
	return newImage(repo, tag, text, "", func(m map[string]any) {
		m["artifactType"] = artifactType
		m["layers"] = []any{descriptor(artifactType, []byte("layer "+text))}
		m["subject"] = map[string]any{"mediaType": manifestType, "digest": subject.digest, "size": len(subject.manifest)}
	})
}

type reference struct {
	MediaType, Digest, ArtifactType string
	Size                            int
	Annotations                     map[string]string
}

func fallbackTag(im image) string { return strings.Replace(im.digest, ":", "-", 1) }

func referrersPath(repo, digest, artifactType string) string {
	path := "/v2/" + repo + "/referrers/" + digest
	if artifactType != "" {
		path += "?artifactType=" + url.QueryEscape(artifactType)
	}
	return path
}

// referrers lists what refers to the digest, by digest.
func (w *world) referrers(user, repo, digest string) map[string]reference {
	w.t.Helper()
	r := w.as(user, http.MethodGet, referrersPath(repo, digest, ""), nil, nil)
	var out struct {
		MediaType string
		Manifests []reference
	}
	if err := json.Unmarshal(r.Body, &out); r.Status != http.StatusOK || err != nil || out.MediaType != indexType {
		w.t.Fatalf("referrers of %s in %s: %d %.300s", digest, repo, r.Status, r.Body)
	}
	if len(r.Body) > 4<<20 {
		w.t.Errorf("the list has %d bytes: no client reads as many", len(r.Body))
	}
	found := map[string]reference{}
	for _, m := range out.Manifests {
		if _, twice := found[m.Digest]; twice {
			w.t.Errorf("%s is listed twice", m.Digest)
		}
		found[m.Digest] = m
	}
	return found
}

// Class 10: what refers to an image in a repository that one cannot read is not
// told, and a subject there is nobody's to attach to from outside.
func TestReferrersOfAnUnreadableRepositoryAreNotTold(t *testing.T) {
	w := newWorld(t, harness.Options{})
	subject := w.push(alice, newImage("red/app", "v1", "subject", "1000", nil))
	signature := w.push(alice, attached("red/app", "sig", "signature", bundleType, subject))
	gone := digestOf([]byte("never pushed"))

	t.Run("the answer is that of nothing, whatever is asked for", func(t *testing.T) {
		for _, user := range []string{bob, eve, nobody} {
			nothing := w.as(user, http.MethodGet, referrersPath("violet/app", gone, ""), nil, nil)
			for _, d := range []string{subject.digest, gone} {
				for _, filter := range []string{"", bundleType, sbomType} {
					r := w.as(user, http.MethodGet, referrersPath("red/app", d, filter), nil, nil)
					refused(t, "referrers by "+user, r, []byte(signature.digest), []byte(bundleType))
					if r.Status != nothing.Status || string(r.Body) != string(nothing.Body) || r.Header.Get("Oci-Filters-Applied") != "" {
						t.Errorf("%q with filter %q of %s: %d %s, and of no project: %d %s", user, filter, d, r.Status, r.Body, nothing.Status, nothing.Body)
					}
				}
			}
		}
		token := w.token(bob, "repository:blue/app:pull,push", "repository:red/app:pull")
		refused(t, "with a token", w.bearer(token, http.MethodGet, referrersPath("red/app", subject.digest, bundleType), nil, nil), []byte(signature.digest))
	})
	t.Run("a manifest elsewhere may name it and learns nothing", func(t *testing.T) {
		never := subject
		never.digest = gone
		answers := map[string]string{}
		for name, s := range map[string]image{"there": subject, "not there": never} {
			im := attached("blue/app", "x", "outside", bundleType, s)
			for _, content := range [][]byte{im.layer, im.config} {
				w.upload(bob, im.repo, content)
			}
			r := w.put(bob, im, manifestType)
			answers[name] = fmt.Sprintf("%d %s %v", r.Status, r.Body, r.Header.Get("OCI-Subject") == s.digest)
			if _, listed := w.referrers(alice, "red/app", s.digest)[im.digest]; listed {
				t.Errorf("bob attached from outside")
			}
			if len(w.referrers(bob, "blue/app", s.digest)) != 1 {
				t.Errorf("bob's own list of a subject that is %s is not his own", name)
			}
		}
		if answers["there"] != answers["not there"] {
			t.Errorf("a subject elsewhere can be told: %v", answers)
		}
	})
	t.Run("a guest reads and does not attach", func(t *testing.T) {
		if found := w.referrers(gus, "red/app", subject.digest); len(found) != 1 || found[signature.digest].ArtifactType != bundleType {
			t.Errorf("%v", found)
		}
		im := attached("red/app", "", "by a guest", bundleType, subject)
		im.tag = im.digest
		refused(t, "attach", w.put(gus, im, manifestType))
		refused(t, "the fallback tag", w.as(gus, http.MethodPut, "/v2/red/app/manifests/"+fallbackTag(subject), http.Header{"Content-Type": {indexType}}, signature.manifest))
	})
}

// The fallback tag is a tag: who writes to it can name what is there, and can
// neither hide nor rename anything.
func TestTheFallbackTagOfReferrersHidesAndForgesNothing(t *testing.T) {
	w := newWorld(t, harness.Options{})
	subject := w.push(alice, newImage("red/app", "v1", "subject", "1000", nil))
	other := w.push(alice, newImage("red/app", "v2", "other", "1000", nil))
	signature := w.push(alice, attached("red/app", "sig", "signature", bundleType, subject))
	ofOther := w.push(alice, attached("red/app", "other-sig", "of the other", bundleType, other))
	foreign := w.push(bob, attached("blue/app", "v1", "foreign", bundleType, subject))
	plain := w.push(alice, newImage("red/app", "sbom", "sbom", "", func(m map[string]any) {
		m["artifactType"] = sbomType
		m["layers"] = []any{descriptor(sbomType, []byte("layer sbom"))}
	}))
	entry := func(im image) map[string]any {
		return map[string]any{"mediaType": manifestType, "digest": im.digest, "size": len(im.manifest),
			"artifactType": "application/vnd.forged", "annotations": map[string]any{"forged": "yes"}}
	}
	write := func(t *testing.T, what string, list ...any) bool {
		t.Helper()
		body := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": append([]any{}, list...)})
		r := w.as(alice, http.MethodPut, "/v2/red/app/manifests/"+fallbackTag(subject), http.Header{"Content-Type": {indexType}}, body)
		if r.Status != http.StatusCreated {
			t.Logf("%s: %d %s", what, r.Status, r.Body)
		}
		return r.Status == http.StatusCreated
	}
	check := func(t *testing.T, what string, want ...image) {
		t.Helper()
		found := w.referrers(gus, "red/app", subject.digest)
		for _, im := range want {
			if _, there := found[im.digest]; !there {
				t.Errorf("%s: %s is hidden", what, im.tag)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: %d are listed, want %d: %v", what, len(found), len(want), found)
		}
		for _, m := range found {
			if m.ArtifactType == "application/vnd.forged" || m.Annotations["forged"] != "" {
				t.Errorf("%s: forged: %v", what, m)
			}
		}
	}
	check(t, "before", signature)
	if !write(t, "a list", entry(signature), entry(plain), entry(ofOther)) {
		t.Fatal("a pusher writes an index")
	}
	check(t, "a list of all", signature, plain)
	// Another repository's manifest and one that is nowhere: taken or not, they are not told.
	nowhere := map[string]any{"mediaType": manifestType, "digest": digestOf([]byte("nowhere")), "size": 7}
	if write(t, "a list of what is elsewhere", entry(foreign), nowhere) {
		check(t, "a list of what is elsewhere", signature)
	}
	if !write(t, "an empty list") {
		t.Fatal("a pusher writes an empty index")
	}
	check(t, "an empty list", signature)
	// A list that lists itself by way of the subject's own name.
	if !write(t, "the subject", entry(subject)) {
		t.Fatal("a pusher writes an index")
	}
	w.referrers(gus, "red/app", subject.digest)
	// An image under the tag is an image.
	im := newImage("red/app", fallbackTag(subject), "an image", "1000", nil)
	w.push(alice, im)
	check(t, "an image", signature)
}

func TestReferrersAreBoundedAndNoneOfThemIsHidden(t *testing.T) {
	t.Run("in number", func(t *testing.T) {
		w := newWorld(t, harness.Options{Config: "limits:\n  referrers: 5\n"})
		subject := w.push(alice, newImage("red/app", "v1", "subject", "1000", nil))
		accepted := 0
		for i := range 8 {
			im := attached("red/app", "", "one", bundleType, subject)
			im = newImage("red/app", "", "one", "", func(m map[string]any) {
				m["artifactType"], m["annotations"] = bundleType, map[string]any{"n": fmt.Sprint(i)}
				m["layers"] = []any{descriptor(bundleType, im.layer)}
				m["subject"] = map[string]any{"mediaType": manifestType, "digest": subject.digest, "size": len(subject.manifest)}
			})
			accepted += w.attach(t, im)
		}
		if found := w.referrers(gus, "red/app", subject.digest); accepted != 5 || len(found) != 5 {
			t.Errorf("%d were taken and %d are listed", accepted, len(found))
		}
		// Whether the list is full is told to nobody who may not attach.
		im := attached("red/app", "", "one more", bundleType, subject)
		im.tag = im.digest
		for _, user := range []string{gus, bob, eve, nobody} {
			r := w.put(user, im, manifestType)
			refused(t, "attach by "+user, r)
			if strings.Contains(string(r.Body), "as many referrers") {
				t.Errorf("%q is told: %s", user, r.Body)
			}
		}
	})
	t.Run("in bytes", func(t *testing.T) {
		w := newWorld(t, harness.Options{})
		subject := w.push(alice, newImage("red/app", "v1", "subject", "1000", nil))
		accepted := 0
		for i := range 8 {
			accepted += w.attach(t, newImage("red/app", "", "one", "", func(m map[string]any) {
				m["artifactType"] = bundleType
				m["annotations"] = map[string]any{"n": fmt.Sprint(i), "fill": strings.Repeat("x", 900_000)}
				m["layers"] = []any{descriptor(bundleType, []byte("layer one"))}
				m["subject"] = map[string]any{"mediaType": manifestType, "digest": subject.digest, "size": len(subject.manifest)}
			}))
		}
		found := w.referrers(gus, "red/app", subject.digest)
		if accepted == 0 || accepted == 8 || len(found) != accepted {
			t.Errorf("%d were taken and %d are listed", accepted, len(found))
		}
		// Signs that JSON may write in six bytes each take no more room than one.
		other := w.push(alice, newImage("red/app", "v2", "other subject", "1000", nil))
		im := newImage("red/app", "", "one", "", func(m map[string]any) {
			m["annotations"] = map[string]any{"fill": "FILL"}
			m["subject"] = map[string]any{"mediaType": manifestType, "digest": other.digest, "size": len(other.manifest)}
		})
		im.manifest = bytes.Replace(im.manifest, []byte("FILL"), bytes.Repeat([]byte("<"), 900_000), 1)
		im.digest = digestOf(im.manifest)
		if n := w.attach(t, im); n != 1 || len(w.referrers(gus, "red/app", other.digest)) != 1 {
			t.Errorf("%d was taken and is not listed", n)
		}
	})
}

// attach pushes by digest and counts 1 when it was taken; a refusal must say why.
func (w *world) attach(t *testing.T, im image) int {
	t.Helper()
	im.tag = im.digest
	for _, content := range [][]byte{im.layer, im.config} {
		if r := w.upload(alice, im.repo, content); r.Status != http.StatusCreated {
			t.Fatalf("upload: %d %s", r.Status, r.Body)
		}
	}
	r := w.put(alice, im, manifestType)
	switch {
	case r.Status == http.StatusCreated:
		return 1
	case r.Status != http.StatusForbidden || !strings.Contains(string(r.Body), "referrers"):
		t.Errorf("attach: %d %s", r.Status, r.Body)
	}
	return 0
}

// Whoever may push may attach: that something is attached proves nothing, and no
// rule is told that it does.
func TestWhatAPusherAttachesIsNoVerifiedSignature(t *testing.T) {
	dir := t.TempDir()
	file("signed.rego", `package bondgate.rules.signed

deny contains {"code": "signed.missing", "msg": "no verified signature"} if {
	input.action == "manifest.pull"
	input.artifact.role == "image"
	not verified
}

verified if {
	some s in input.artifact.signatures.items
	s.verified
}
`)(t, dir)
	w := newWorld(t, harness.Options{Policy: dir})
	im := w.push(alice, newImage("red/app", "v1", "unsigned", "1000", func(m map[string]any) {
		claim := map[string]any{"status": "ok", "items": []any{map[string]any{"verified": true}}}
		m["verified"], m["role"], m["facts"] = true, "signature", map[string]any{"signatures": claim}
		m["annotations"] = map[string]any{"verified": "true", "signatures": string(mustJSON(claim)), "dev.cosignproject.cosign/signature": "MEUCIQ=="}
	}))
	denied := func(when string) {
		t.Helper()
		for _, ref := range []string{im.tag, im.digest} {
			r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+ref, harness.Accept, nil)
			if r.Status != http.StatusForbidden || !strings.Contains(string(r.Body), "signed.missing") {
				t.Errorf("%s: %d %s", when, r.Status, r.Body)
			}
		}
		refused(t, when+": its layer", w.as(gus, http.MethodGet, "/v2/red/app/blobs/"+im.layerDigest(), nil, nil), im.layer)
	}
	denied("unsigned")
	for name, accessory := range map[string]image{
		"a bundle":                 attached("red/app", "bundle", "bundle", bundleType, im),
		"a simple signing payload": attached("red/app", fallbackTag(im)+".sig", "simple", simpleSigning, im),
		"a notation signature":     attached("red/app", "notation", "notation", "application/vnd.cncf.notary.signature", im),
		"an attestation":           attached("red/app", fallbackTag(im)+".att", "att", "application/vnd.dsse.envelope.v1+json", im),
	} {
		w.push(alice, accessory)
		denied(name)
	}
	list := mustJSON(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []any{}, "annotations": map[string]any{"verified": "true"}})
	if r := w.as(alice, http.MethodPut, "/v2/red/app/manifests/"+fallbackTag(im), http.Header{"Content-Type": {indexType}}, list); r.Status != http.StatusCreated {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	denied("a fallback tag")
}
