package attack_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bondgate/bondgate/test/harness"
)

// Class 8: bytes that two readers read differently (CVE-2021-41190 and its
// family). What is judged must be what runs, so such bytes are not taken.

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func TestAManifestWithTwoReadingsIsNotTaken(t *testing.T) {
	w := newWorld(t, harness.Options{})
	good := w.push(alice, newImage("red/app", "good", "good", "1000", nil))
	bad := w.push(alice, newImage("red/app", "bad", "bad", "root", nil))
	config, layer := string(mustJSON(descriptor(configType, good.config))), string(mustJSON(descriptor(layerType, good.layer)))
	badConfig, badLayer := string(mustJSON(descriptor(configType, bad.config))), string(mustJSON(descriptor(layerType, bad.layer)))
	child := string(mustJSON(descriptor(manifestType, bad.manifest)))
	const head = `{"schemaVersion":2,"mediaType":"` + manifestType + `",`
	image := func(extra string) string {
		return head + `"config":` + config + `,"layers":[` + layer + `]` + extra + `}`
	}
	index := func(extra string) string {
		return `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[` + child + `]` + extra + `}`
	}
	without := func(text, part string) string { return strings.Replace(text, part, "", 1) }
	said := `"mediaType":"` + manifestType + `",`

	for n, c := range []struct{ name, contentType, body string }{
		// The type.
		{"an image sent as an index", indexType, image("")},
		{"an index sent as an image", manifestType, index("")},
		{"an OCI image sent as Docker's", dockerManifest, image("")},
		{"an untyped image sent as an index", indexType, without(image(""), said)},
		{"an untyped image sent as Docker's", dockerManifest, without(image(""), said)},
		{"an untyped index sent as an image", manifestType, without(index(""), `"mediaType":"`+indexType+`",`)},
		{"an untyped index sent as Docker's", dockerList, without(index(""), `"mediaType":"`+indexType+`",`)},
		{"a type in capitals", "", strings.Replace(image(""), "vnd.oci.image.manifest", "vnd.OCI.image.manifest", 1)},
		{"a type with a space", "", strings.Replace(image(""), "manifest.v1+json", "manifest.v1+json ", 1)},
		{"a type with a parameter", "", strings.Replace(image(""), "manifest.v1+json", "manifest.v1+json;q=1", 1)},
		{"a type that is null", manifestType, strings.Replace(image(""), `"`+manifestType+`"`, "null", 1)},
		{"a type that is empty", manifestType, strings.Replace(image(""), `"`+manifestType+`"`, `""`, 1)},
		{"two Content-Types in one", manifestType + ", " + indexType, image("")},
		{"a Content-Type of an old kind", "application/vnd.docker.distribution.manifest.v1+prettyjws", image("")},
		{"JSON and nothing more", "application/json", image("")},
		// Both at once.
		{"an image with manifests", manifestType, image(`,"manifests":[` + child + `]`)},
		{"an image with no manifests said", manifestType, image(`,"manifests":[]`)},
		{"an image with null manifests", manifestType, image(`,"manifests":null`)},
		{"an index with layers", indexType, index(`,"layers":[` + layer + `]`)},
		{"an index with no layers said", indexType, index(`,"layers":[]`)},
		{"an index with a config", indexType, index(`,"config":` + config)},
		{"an index with a null config", indexType, index(`,"config":null`)},
		{"an image with layers of the first schema", manifestType, image(`,"fsLayers":[{"blobSum":"` + bad.layerDigest() + `"}]`)},
		{"an image with signatures of the first schema", manifestType, image(`,"signatures":[]`)},
		{"an image with the blobs of an artifact manifest", manifestType, image(`,"blobs":[` + badLayer + `]`)},
		// Keys.
		{"two configs", manifestType, image(`,"config":` + badConfig)},
		{"two layers lists", manifestType, image(`,"layers":[` + badLayer + `]`)},
		{"two configs, one in capitals", manifestType, image(`,"Config":` + badConfig)},
		{"two layers lists, one in capitals", manifestType, image(`,"LAYERS":[` + badLayer + `]`)},
		{"layers by the long s", manifestType, image(`,"layerſ":[` + badLayer + `]`)},
		{"layers by an escape", manifestType, image(`,"l\u0061yers":[` + badLayer + `]`)},
		{"a config in the wrong case only", manifestType, strings.Replace(image(""), `"config"`, `"Config"`, 1)},
		{"manifests in the wrong case", manifestType, image(`,"Manifests":[` + child + `]`)},
		{"manifests by the long s", manifestType, image(`,"manifestſ":[` + child + `]`)},
		{"two types", manifestType, image(`,"mediaType":"` + indexType + `"`)},
		{"two types, one in capitals", manifestType, image(`,"MediaType":"` + indexType + `"`)},
		{"two schema versions", manifestType, image(`,"schemaVersion":1`)},
		{"two subjects", manifestType, image(`,"subject":` + child + `,"subject":` + child)},
		{"an annotation twice", manifestType, image(`,"annotations":{"a":"1","a":"2"}`)},
		{"a digest twice", manifestType, image(`,"subject":{"mediaType":"x/y","digest":"` + bad.digest + `","size":1,"digest":"` + good.digest + `"}`)},
		{"a digest twice, one in capitals", manifestType, strings.Replace(image(""), `"digest":`, `"Digest":"`+bad.configDigest()+`","digest":`, 1)},
		{"a key that nobody knows twice", manifestType, image(`,"org.x":1,"org.x":2`)},
		{"a platform's key twice", indexType, strings.Replace(index(""), `"size":`, `"platform":{"os":"linux","OS":"windows","architecture":"amd64"},"size":`, 1)},
		// Bytes.
		{"a byte order mark", manifestType, "\ufeff" + image("")},
		{"UTF-16", manifestType, utf16(image(""))},
		{"data after the end", manifestType, image("") + image("")},
		{"a brace after the end", manifestType, image("") + "}"},
		{"a NUL after the end", manifestType, image("") + "\x00"},
		{"a form feed before", manifestType, "\f" + image("")},
		{"a no-break space before", manifestType, "\u00a0" + image("")},
		{"bytes that are not UTF-8", manifestType, image(`,"annotations":{"a":"` + "\xff" + `"}`)},
		{"bytes that are not UTF-8 in a key", manifestType, image(`,"layers` + "\xff" + `":[]`)},
		{"an overlong encoding", manifestType, image(`,"annotations":{"a":"` + "\xc0\xaf" + `"}`)},
		{"half a surrogate pair in bytes", manifestType, image(`,"annotations":{"a":"` + "\xed\xa0\x80" + `"}`)},
		{"a comment", manifestType, image(`/* ,"layers":[] */`)},
		{"a comma too many", manifestType, image(",")},
		{"single quotes", manifestType, strings.ReplaceAll(image(""), `"`, "'")},
		{"a control character in text", manifestType, image(`,"annotations":{"a":"` + "\n" + `"}`)},
		{"a list", manifestType, "[" + image("") + "]"},
		{"text", manifestType, `"` + manifestType + `"`},
		{"null", manifestType, "null"},
		{"nothing", manifestType, ""},
		// Numbers.
		{"a size that no 64 bits hold", manifestType, sized(image(""), "18446744073709551617")},
		{"a size that overflows to the right one", manifestType, sized(image(""), fmt.Sprintf("1844674407370955%d", 1616+len(good.layer)))},
		{"a size beyond 2^53", manifestType, sized(image(""), "9007199254740993")},
		{"a size with an exponent", manifestType, sized(image(""), "1e1")},
		{"a size with a fraction", manifestType, sized(image(""), fmt.Sprintf("%d.0", len(good.layer)))},
		{"a huge exponent", manifestType, image(`,"schemaVersion":1e999999999`)},
		{"a size of less than nothing", manifestType, sized(image(""), "-1")},
		{"a size that is minus nothing", manifestType, sized(image(""), "-0")},
		{"a size as text", manifestType, sized(image(""), fmt.Sprintf(`"%d"`, len(good.layer)))},
		{"a size that begins with 0", manifestType, sized(image(""), fmt.Sprintf("0%d", len(good.layer)))},
		{"a size that is not a number", manifestType, sized(image(""), "NaN")},
		{"a version with a fraction", manifestType, strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":2.0`, 1)},
		{"a version as text", manifestType, strings.Replace(image(""), `"schemaVersion":2`, `"schemaVersion":"2"`, 1)},
		{"no version", manifestType, without(image(""), `"schemaVersion":2,`)},
		// Digests and data.
		{"a digest in capitals", manifestType, strings.Replace(image(""), good.layerDigest(), strings.ToUpper(good.layerDigest()), 1)},
		{"a digest with a space", manifestType, strings.Replace(image(""), good.layerDigest(), good.layerDigest()+" ", 1)},
		{"a digest that is too short", manifestType, strings.Replace(image(""), good.layerDigest(), good.layerDigest()[:70], 1)},
		{"a digest of another algorithm", manifestType, strings.Replace(image(""), good.layerDigest(), "sha1:"+strings.Repeat("a", 40), 1)},
		{"data that is another's", manifestType, strings.Replace(image(""), `"size":`, `"data":"e30=","size":`, 1)},
		{"layers that are an object", manifestType, strings.Replace(image(""), "["+layer+"]", layer, 1)},
		{"a null layer", manifestType, strings.Replace(image(""), "["+layer+"]", "["+layer+",null]", 1)},
		{"a config that is a list", manifestType, strings.Replace(image(""), `"config":`+config, `"config":[`+config+`]`, 1)},
	} {
		tag := fmt.Sprintf("t%d", n)
		d := digestOf([]byte(c.body))
		for _, reference := range []string{tag, d + "?tag=" + tag} {
			h := http.Header{}
			if c.contentType != "" {
				h.Set("Content-Type", c.contentType)
			}
			r := w.as(alice, http.MethodPut, "/v2/red/app/manifests/"+reference, h, []byte(c.body))
			if r.Status != http.StatusBadRequest || code(r) != "MANIFEST_INVALID" {
				t.Errorf("%s: PUT answers %d %s", c.name, r.Status, r.Body)
			}
		}
		for _, reference := range []string{tag, d} {
			if r := w.as(alice, http.MethodGet, "/v2/red/app/manifests/"+reference, harness.Accept, nil); r.Status != http.StatusNotFound {
				t.Errorf("%s: and it is there: %d", c.name, r.Status)
			}
		}
	}
	w.names("good", good)
}

// sized gives the layer, which comes last, another size.
func sized(manifest, size string) string {
	at := strings.LastIndex(manifest, `"size":`) + len(`"size":`)
	end := at + strings.IndexAny(manifest[at:], ",}")
	return manifest[:at] + size + manifest[end:]
}

func utf16(s string) string {
	var b strings.Builder
	b.WriteString("\xff\xfe")
	for i := range len(s) {
		b.WriteByte(s[i])
		b.WriteByte(0)
	}
	return b.String()
}

// The type that a manifest is served as is the one that it was judged as, whatever
// the reader says that it would like.
func TestNobodyChoosesTheTypeOfAManifestByAsking(t *testing.T) {
	w := newWorld(t, harness.Options{})
	im := newImage("red/app", "v1", "typed", "1000", func(m map[string]any) { delete(m, "mediaType") })
	w.push(alice, im)
	for _, accept := range []string{manifestType, indexType, dockerManifest, dockerList, "*/*", "text/html", "application/vnd.docker.distribution.manifest.v1+json"} {
		for _, reference := range []string{"v1", im.digest} {
			r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+reference, http.Header{"Accept": {accept}}, nil)
			if r.Status == http.StatusOK && (r.Header.Get("Content-Type") != manifestType || !bytes.Equal(r.Body, im.manifest)) {
				t.Errorf("asked for %s: served as %q", accept, r.Header.Get("Content-Type"))
			}
		}
	}
	// The same bytes pushed again as something else stay what they are.
	for _, contentType := range []string{indexType, dockerManifest, dockerList} {
		if r := w.put(alice, im, contentType); r.Status != http.StatusBadRequest {
			t.Errorf("pushed again as %s: %d %s", contentType, r.Status, r.Body)
		}
	}
	if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/v1", harness.Accept, nil); r.Header.Get("Content-Type") != manifestType {
		t.Errorf("it is %q now", r.Header.Get("Content-Type"))
	}
}

// An image's configuration says who it runs as: one reading of it, too.
func TestAConfigurationWithTwoReadingsIsNotTaken(t *testing.T) {
	w := newWorld(t, harness.Options{Policy: policyFolder(t)})
	for name, config := range map[string]string{
		"two users":                           `{"os":"linux","config":{"User":"1000","User":"root"}}`,
		"two users, one in the wrong case":    `{"os":"linux","config":{"User":"1000","user":"root"}}`,
		"two configs":                         `{"os":"linux","config":{"User":"1000"},"config":{"User":"root"}}`,
		"two configs, one in the wrong case":  `{"os":"linux","config":{"User":"1000"},"Config":{"User":"root"}}`,
		"a user by the long s":                `{"os":"linux","config":{"User":"1000","Uſer":"root"}}`,
		"a user by an escape":                 `{"os":"linux","config":{"User":"1000","\u0055ser":"root"}}`,
		"a user in the wrong case only":       `{"os":"linux","config":{"user":"1000"}}`,
		"a byte order mark":                   "\ufeff" + `{"os":"linux","config":{"User":"1000"}}`,
		"UTF-16":                              utf16(`{"os":"linux","config":{"User":"1000"}}`),
		"another after it":                    `{"os":"linux","config":{"User":"1000"}}{"config":{"User":"root"}}`,
		"a user that is not UTF-8":            `{"os":"linux","config":{"User":"1000` + "\xff" + `"}}`,
		"a user that is a number":             `{"os":"linux","config":{"User":1000}}`,
		"a config that is a list":             `{"os":"linux","config":[{"User":"1000"}]}`,
		"a list":                              `[{"os":"linux","config":{"User":"1000"}}]`,
		"nothing":                             ``,
		"what is no JSON":                     `User=1000`,
		"two operating systems":               `{"os":"linux","OS":"windows","config":{"User":"1000"}}`,
		"two lists of the layers' identities": `{"os":"linux","config":{"User":"1000"},"rootfs":{"type":"layers","diff_ids":[],"diff_ids":["x"]}}`,
	} {
		im := newImage("red/app", "v1", name, "1000", func(m map[string]any) { m["config"] = descriptor(configType, []byte(config)) })
		for _, content := range [][]byte{im.layer, []byte(config)} {
			if r := w.upload(alice, im.repo, content); r.Status != http.StatusCreated {
				t.Fatalf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		if r := w.put(alice, im, manifestType); r.Status != http.StatusBadRequest || code(r) != "MANIFEST_INVALID" {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
		if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+im.digest, harness.Accept, nil); r.Status != http.StatusNotFound {
			t.Errorf("%s: and it is there: %d", name, r.Status)
		}
	}
}

// Some readers run an image whatever its config says of its own type: dockerd
// takes these for images. Whoever calls an image something else is judged as if it
// ran as root, or by what its configuration says.
func TestAnImageByAnotherNameIsJudgedAsAnImage(t *testing.T) {
	w := newWorld(t, harness.Options{})
	w.api(http.MethodPatch, "/projects/red", map[string]any{"packs": []any{
		map[string]any{"name": "image", "mode": "deny", "config": map[string]any{"deny_root": true}},
	}})
	for n, c := range []struct{ config, layer string }{
		{configType, layerType},
		{configType, "application/octet-stream"},
		{"application/vnd.docker.container.image.v1+json", "application/x"},
		{"application/octet-stream", layerType},
		{"application/octet-stream", "application/octet-stream"},
		{"application/json", "application/octet-stream"},
		{"text/html", "application/octet-stream"},
		{"application/vnd.acme.config+json", layerType},
		{"application/vnd.acme.config+json", layerType + "+gzip"},
		{"application/vnd.acme.config+json", "Application/Vnd.OCI.image.layer.v1.tar"},
		{"application/vnd.acme.config+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"},
		{"application/vnd.acme.config+json", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
	} {
		text := fmt.Sprintf("name %d", n)
		im := newImage("red/app", fmt.Sprintf("n%d", n), text, "root", func(m map[string]any) {
			config := m["config"].(map[string]any)
			config["mediaType"] = c.config
			m["layers"] = []any{descriptor(c.layer, []byte("layer "+text))}
		})
		for _, content := range [][]byte{im.layer, im.config} {
			if r := w.upload(alice, im.repo, content); r.Status != http.StatusCreated {
				t.Fatal(r.Status, string(r.Body))
			}
		}
		if r := w.put(alice, im, manifestType); r.Status != http.StatusForbidden {
			t.Errorf("config %s, layer %s: PUT %d %s", c.config, c.layer, r.Status, r.Body)
		}
		if r := w.as(gus, http.MethodGet, "/v2/red/app/manifests/"+im.tag, harness.Accept, nil); r.Status == http.StatusOK {
			t.Errorf("config %s, layer %s: and it is served", c.config, c.layer)
		}
	}
}
