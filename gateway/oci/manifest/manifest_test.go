package manifest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

var (
	d1     = digest.FromString("one").String()
	d2     = digest.FromString("two").String()
	d512   = digest.SHA512.FromString("two").String()
	config = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + d1 + `","size":2}`
	layer  = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + d2 + `","size":3}`
	child  = `{"mediaType":"` + OCIManifest + `","digest":"` + d1 + `","size":2,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}}`
)

func image(extra string) string {
	return `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","config":` + config + `,"layers":[` + layer + `]` + extra + `}`
}

func layered(types ...string) string {
	var ls []string
	for _, t := range types {
		ls = append(ls, `{"mediaType":"`+t+`","digest":"`+d2+`","size":3}`)
	}
	return `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + d1 + `","size":2},"layers":[` + strings.Join(ls, ",") + `]}`
}

func TestParse(t *testing.T) {
	m, err := Parse(OCIManifest+"; charset=utf-8", []byte(image(`,"annotations":{"a":"1","A":"2"},"subject":`+child+`,"org.x":[1,{"layers":1}]`)))
	if err != nil {
		t.Fatal(err)
	}
	a := m.Artifact
	if a.Kind != policy.KindImage || a.Role != policy.RoleImage || len(a.Layers) != 1 || a.ConfigBlob.Digest.String() != d1 ||
		a.Annotations["A"] != "2" || a.Subject == nil || a.MediaType != OCIManifest || a.Size == 0 || a.Digest == "" {
		t.Fatalf("%+v", a)
	}
	m, err = Parse("", []byte(`{"schemaVersion":2,"manifests":[`+child+`,`+strings.Replace(child, OCIManifest, OCIIndex, 1)+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	if a = m.Artifact; a.Kind != policy.KindIndex || len(a.Manifests) != 2 || a.Manifests[0].Platform.Variant != "v8" || a.MediaType != OCIIndex {
		t.Fatalf("%+v", a)
	}
	urls := strings.Replace(layer, `"size"`, `"urls":["https://x"],"size"`, 1)
	m, err = Parse(DockerManifest, []byte(`{"schemaVersion":2,"mediaType":"`+DockerManifest+`","config":`+config+`,"layers":[`+urls+`]}`))
	if err != nil || !m.External[digest.Digest(d2)] {
		t.Fatalf("a layer with urls is external: %+v %v", m, err)
	}
}

func TestParseRefuses(t *testing.T) {
	cases := []struct{ sentence, contentType, body string }{
		{"nothing", "", ``},
		{"white space", "", `  `},
		{"a list", "", `[]`},
		{"a string", "", `"x"`},
		{"half an object", "", image("")[:60]},
		{"a byte order mark", "", "\ufeff" + image("")},
		{"data after the end", "", image("") + `{}`},
		{"a byte after the end", "", image("") + "\x00"},
		{"text that is not UTF-8", "", image(`,"x":"` + "\xff" + `"`)},
		{"layers twice", "", image(`,"layers":[]`)},
		{"layers twice but for case", "", image(`,"Layers":[]`)},
		{"layers twice by an escape", "", image(`,"\u006cayers":[]`)},
		{"a field in the wrong case", "", strings.Replace(image(""), `"layers"`, `"LAYERS"`, 1)},
		{"a field with a long s", "", strings.Replace(image(""), `"layers"`, `"layerſ"`, 1)},
		{"a digest in the wrong case in a layer", "", strings.Replace(image(""), `"digest":"`+d2, `"Digest":"`+d2, 1)},
		{"a key twice in an annotation", "", image(`,"annotations":{"a":"1","a":"2"}`)},
		{"a key twice in something unknown", "", image(`,"x":{"a":1,"a":2}`)},
		{"an image that is an index", "", image(`,"manifests":[]`)},
		{"an index that has a config", "", `{"schemaVersion":2,"manifests":[],"config":` + config + `}`},
		{"neither", "", `{"schemaVersion":2}`},
		{"an index with an image's type", OCIManifest, `{"schemaVersion":2,"manifests":[]}`},
		{"an index that calls itself an image", "", `{"schemaVersion":2,"mediaType":"` + OCIManifest + `","manifests":[]}`},
		{"another type in the header", OCIIndex, image("")},
		{"docker's type in the header", DockerManifest, image("")},
		{"docker's type with no type in the body", DockerManifest, strings.Replace(image(""), `"mediaType":"`+OCIManifest+`",`, "", 1)},
		{"a header that is no type", "x y", image("")},
		{"JSON for a type", "application/json", image("")},
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"fsLayers":[]}`},
		{"schema 1 in disguise", "", image(`,"fsLayers":[]`)},
		{"no schema version", "", strings.Replace(image(""), `"schemaVersion":2,`, "", 1)},
		{"a null media type that hides", "", strings.Replace(image(""), `"`+OCIManifest+`"`, `""`, 1)},
		{"a digest of an algorithm that nobody knows", "", strings.Replace(image(""), d2, "md5:"+strings.Repeat("a", 32), 1)},
		{"a digest in upper case", "", strings.Replace(image(""), d2, strings.ToUpper(d2[:7])+d2[7:], 1)},
		{"a negative size", "", strings.Replace(image(""), `"size":3`, `"size":-3`, 1)},
		{"no size", "", strings.Replace(image(""), `,"size":3`, ``, 1)},
		{"a size that is no integer", "", strings.Replace(image(""), `"size":3`, `"size":3.5`, 1)},
		{"a layer's type with a line break", "", strings.Replace(image(""), "tar+gzip", `tar\r\nX: y`, 1)},
		{"a layer with no type", "", strings.Replace(image(""), "application/vnd.oci.image.layer.v1.tar+gzip", "", 1)},
		{"a null mediaType", "", strings.Replace(image(""), `"`+OCIManifest+`"`, "null", 1)},
		{"a null config", "", strings.Replace(image(""), config, "null", 1)},
		{"data that is not the content", "", strings.Replace(image(""), `"size":3`, `"size":3,"data":"`+base64.StdEncoding.EncodeToString([]byte("abc"))+`"`, 1)},
		{"too deep", "", image(`,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))},
		{"too many layers", "", `{"schemaVersion":2,"config":` + config + `,"layers":[` + strings.Repeat(layer+",", MaxDescriptors) + layer + `]}`},
		{"an annotation that is no string", "", image(`,"annotations":{"a":1}`)},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			if m, err := Parse(c.contentType, []byte(c.body)); !errors.Is(err, policy.ErrInvalid) {
				t.Fatalf("got %+v %v", m, err)
			}
		})
	}
	if _, err := Parse("", []byte(strings.Repeat(" ", MaxSize+1))); !errors.Is(err, policy.ErrTooLarge) {
		t.Fatalf("a byte too many: %v", err)
	}
}

func TestRole(t *testing.T) {
	const tar = "application/vnd.oci.image.layer.v1.tar+gzip"
	cases := []struct {
		sentence string
		body     string
		kind     policy.ArtifactKind
		role     policy.Role
	}{
		{"a simple signature", layered("application/vnd.dev.cosign.simplesigning.v1+json"), policy.KindArtifact, policy.RoleSignature},
		{"a bundle", layered("application/vnd.dev.sigstore.bundle.v0.3+json"), policy.KindArtifact, policy.RoleSignature},
		{"an in-toto statement", layered("application/vnd.in-toto+json"), policy.KindArtifact, policy.RoleAttestation},
		{"a bill of materials", layered("application/spdx+json"), policy.KindArtifact, policy.RoleSBOM},
		{"a layer among signatures", layered("application/vnd.dev.cosign.simplesigning.v1+json", tar), policy.KindImage, policy.RoleImage},
		{"layers with another config", layered(tar), policy.KindImage, policy.RoleImage},
		{"a chart", layered("application/vnd.cncf.helm.chart.content.v1.tar+gzip"), policy.KindArtifact, policy.RoleUnsupported},
		{"a layer's type in capitals", layered("Application/vnd.OCI.image.layer.v1.tar"), policy.KindImage, policy.RoleImage},
		{"a config that docker takes for an image's", strings.Replace(layered("application/x"), "application/vnd.oci.empty.v1+json", "text/html", 1), policy.KindImage, policy.RoleImage},
		{"no layers", layered(), policy.KindArtifact, policy.RoleUnsupported},
		{"an image with a subject, dressed as an attestation", image(`,"artifactType":"application/vnd.in-toto+json","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"subject":` + child), policy.KindImage, policy.RoleImage},
		{"a type that only begins like a signature's", layered("application/vnd.dev.cosign.simplesigning.v1+json.tar"), policy.KindArtifact, policy.RoleUnsupported},
	}
	for _, c := range cases {
		t.Run(c.sentence, func(t *testing.T) {
			m, err := Parse("", []byte(c.body))
			if err != nil || m.Artifact.Kind != c.kind || m.Artifact.Role != c.role {
				t.Fatalf("%+v %v", m, err)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(`{"os":"linux","architecture":"amd64","created":"2026-09-01T00:00:00Z","rootfs":{"type":"layers"},
		"config":{"User":"1000","Env":["PATH=/bin","SECRET=x","BARE"],"Labels":{"a":"b"},"ExposedPorts":{"8080/tcp":{},"53/udp":{}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(c.User, c.EnvNames, c.ExposedPorts, c.Labels, c.Created.Year()); got != "1000 [PATH SECRET BARE] [53/udp 8080/tcp] map[a:b] 2026\n" {
		t.Fatal(got)
	}
	for sentence, body := range map[string]string{
		"a user twice":               `{"config":{"User":"1000","User":"root"}}`,
		"a user twice but for case":  `{"config":{"User":"1000","user":"root"}}`,
		"a user in the wrong case":   `{"config":{"user":"1000"}}`,
		"a config in the wrong case": `{"Config":{"User":"1000"}}`,
		"a user that is no string":   `{"config":{"User":0}}`,
		"no object":                  `null`,
	} {
		if c, err := ParseConfig([]byte(body)); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %+v %v", sentence, c, err)
		}
	}
	if _, err := ParseConfig([]byte(`{}`)); err != nil {
		t.Errorf("an empty configuration is one: %v", err)
	}
}

// FuzzParse looks for what is accepted and should not be: an accepted manifest
// has a known type, valid digests, a role that its layers justify, and says the
// same when it is read again under the type that it was given.
func FuzzParse(f *testing.F) {
	f.Add("", image(""))
	f.Add(OCIManifest, image(`,"subject":`+child))
	f.Add("", `{"schemaVersion":2,"manifests":[`+child+`]}`)
	f.Add("", layered("application/vnd.in-toto+json"))
	f.Add("", image(`,"Layers":[]`))
	f.Add("", strings.Replace(image(""), d2, d512, 1))
	f.Fuzz(func(t *testing.T, contentType, body string) {
		m, err := Parse(contentType, []byte(body))
		if err != nil {
			if !errors.Is(err, policy.ErrInvalid) && !errors.Is(err, policy.ErrTooLarge) {
				t.Fatalf("a refusal of no class: %v", err)
			}
			return
		}
		a := m.Artifact
		index := a.MediaType == OCIIndex || a.MediaType == DockerList
		if index != (a.Kind == policy.KindIndex) || index == (a.ConfigBlob != nil) || index && len(a.Layers) > 0 || !index && len(a.Manifests) > 0 {
			t.Fatalf("an image and an index at once: %+v", a)
		}
		for _, l := range a.Layers {
			if l.Digest.Validate() != nil || l.Size < 0 {
				t.Fatalf("a descriptor that cannot be: %+v", l)
			}
			if _, ok := accessories[l.MediaType]; a.Role.Accessory() && !ok {
				t.Fatalf("an accessory with a layer that is none: %+v", a)
			}
		}
		again, err := Parse(a.MediaType, []byte(body))
		if err != nil || again.Artifact.Role != a.Role || again.Artifact.Digest != a.Digest {
			t.Fatalf("read again under its own type: %v", err)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add(`{"config":{"User":"1000","Env":["A=1"]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		if _, err := ParseConfig([]byte(body)); err != nil && !errors.Is(err, policy.ErrInvalid) {
			t.Fatalf("a refusal of no class: %v", err)
		}
	})
}

func TestCanonicalise(t *testing.T) {
	body := strings.ReplaceAll(image(`,"subject":`+child), d2, d512)
	m, err := Parse("", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	Canonicalise(m.Artifact, func(d digest.Digest) (digest.Digest, bool) {
		return digest.Digest(d2), d.String() == d512
	})
	if a := m.Artifact; a.Layers[0].Digest.String() != d2 || a.ConfigBlob.Digest.String() != d1 || a.Subject.Digest.String() != d1 {
		t.Fatalf("%+v", a)
	}
}
