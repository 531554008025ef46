// Package differential_test holds our reading of names, manifests and
// configurations against that of the libraries which clients are made of:
// go-containerregistry (crane, cosign, kaniko), oras-go (oras, helm) and containerd
// (containerd, docker, kubelets). Whatever we accept they must read as we do: a
// rule that judges one image while a client runs another is no rule. They may
// refuse what we accept.
package differential_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"

	"github.com/bondgate/bondgate/gateway/oci/manifest"
	"github.com/bondgate/bondgate/policy"
)

// reading is what one reader understands of a manifest. Each descriptor is a line,
// since the readers' types differ.
type reading struct {
	config, subject  string
	layers, children []string
	annotations      map[string]string
	// external are the digests of layers that carry addresses.
	external map[string]bool
}

func line(mediaType, digest string, size int64, annotations map[string]string) string {
	keys := slices.Sorted(maps.Keys(annotations))
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%q=%q", k, annotations[k])
	}
	return fmt.Sprintf("%q %s %d %v", mediaType, digest, size, keys)
}

func (r reading) String() string {
	return fmt.Sprintf("config %s\nsubject %s\nlayers %q\nchildren %q", r.config, r.subject, r.layers, r.children)
}

// differs says in what two readings differ; empty when they do not.
func (r reading) differs(o reading) string {
	if r.String() != o.String() {
		return fmt.Sprintf("%v\n\nagainst\n\n%v", r, o)
	}
	if !maps.Equal(r.annotations, o.annotations) {
		return fmt.Sprintf("annotations %v against %v", r.annotations, o.annotations)
	}
	for d := range o.external {
		if !r.external[d] {
			return "a layer with addresses of its own is not known as one"
		}
	}
	return ""
}

func ours(m *manifest.Manifest) reading {
	a := m.Artifact
	describe := func(d policy.Descriptor) string {
		return line(d.MediaType, string(d.Digest), d.Size, d.Annotations)
	}
	r := reading{annotations: a.Annotations, external: map[string]bool{}}
	if a.ConfigBlob != nil {
		r.config = describe(*a.ConfigBlob)
	}
	if a.Subject != nil {
		r.subject = describe(*a.Subject)
	}
	for _, l := range a.Layers {
		r.layers = append(r.layers, describe(l))
	}
	for _, c := range a.Manifests {
		r.children = append(r.children, describe(c.Descriptor)+fmt.Sprintf(" %q/%q/%q", c.Platform.OS, c.Platform.Architecture, c.Platform.Variant))
	}
	for d := range m.External {
		r.external[string(d)] = true
	}
	return r
}

func isIndex(a *policy.Artifact) bool { return a.Kind == policy.KindIndex }

// craneReads is go-containerregistry's reading.
func craneReads(a *policy.Artifact, body []byte) (reading, error) {
	sum, _, err := v1.SHA256(bytes.NewReader(body))
	if err != nil {
		return reading{}, err
	}
	if sum.String() != string(a.Digest) {
		return reading{}, fmt.Errorf("the digest is %s: %w", sum, errDiffers)
	}
	describe := func(d v1.Descriptor) string {
		return line(string(d.MediaType), d.Digest.String(), d.Size, d.Annotations)
	}
	out := reading{external: map[string]bool{}}
	subject := func(d *v1.Descriptor) {
		if d != nil {
			out.subject = describe(*d)
		}
	}
	if isIndex(a) {
		m, err := v1.ParseIndexManifest(bytes.NewReader(body))
		if err != nil {
			return reading{}, err
		}
		for _, d := range m.Manifests {
			p := v1.Platform{}
			if d.Platform != nil {
				p = *d.Platform
			}
			out.children = append(out.children, describe(d)+fmt.Sprintf(" %q/%q/%q", p.OS, p.Architecture, p.Variant))
		}
		subject(m.Subject)
		out.annotations = m.Annotations
		return out, nil
	}
	m, err := v1.ParseManifest(bytes.NewReader(body))
	if err != nil {
		return reading{}, err
	}
	out.config, out.annotations = describe(m.Config), m.Annotations
	subject(m.Subject)
	for _, l := range m.Layers {
		out.layers = append(out.layers, describe(l))
		if len(l.URLs) > 0 {
			out.external[l.Digest.String()] = true
		}
	}
	return out, nil
}

func described(d ocispec.Descriptor) string {
	return line(d.MediaType, string(d.Digest), d.Size, d.Annotations)
}

// of puts what a reader found in a manifest, in the reader's order, in its places.
func of(a *policy.Artifact, found []ocispec.Descriptor) reading {
	out := reading{external: map[string]bool{}, annotations: a.Annotations}
	if isIndex(a) {
		for _, d := range found {
			p := ocispec.Platform{}
			if d.Platform != nil {
				p = *d.Platform
			}
			out.children = append(out.children, described(d)+fmt.Sprintf(" %q/%q/%q", p.OS, p.Architecture, p.Variant))
		}
		return out
	}
	if len(found) == 0 {
		return out
	}
	out.config = described(found[0])
	for _, d := range found[1:] {
		out.layers = append(out.layers, described(d))
		if len(d.URLs) > 0 {
			out.external[string(d.Digest)] = true
		}
	}
	return out
}

// orasReads is oras-go's reading.
func orasReads(a *policy.Artifact, body []byte) (reading, error) {
	fetch := orascontent.FetcherFunc(func(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(body)), nil
	})
	found, err := orascontent.Successors(context.Background(), fetch, descriptorOf(a))
	if err != nil {
		return reading{}, err
	}
	// The subject comes first, in OCI's types only: Docker's have none.
	var subject string
	if a.Subject != nil && (a.MediaType == manifest.OCIManifest || a.MediaType == manifest.OCIIndex) {
		if len(found) == 0 {
			return reading{}, fmt.Errorf("no subject: %w", errDiffers)
		}
		subject, found = described(found[0]), found[1:]
	} else if a.Subject != nil {
		subject = line(a.Subject.MediaType, string(a.Subject.Digest), a.Subject.Size, a.Subject.Annotations)
	}
	out := of(a, found)
	out.subject = subject
	return out, nil
}

// containerdReads is containerd's reading.
func containerdReads(a *policy.Artifact, body []byte) (reading, error) {
	ctx, store, d := context.Background(), provider(body), descriptorOf(a)
	found, err := images.Children(ctx, store, d)
	if err != nil {
		return reading{}, err
	}
	out := of(a, found)
	if a.Subject != nil { // it follows no subject
		out.subject = line(a.Subject.MediaType, string(a.Subject.Digest), a.Subject.Size, a.Subject.Annotations)
	}
	if isIndex(a) {
		return out, nil
	}
	m, err := images.Manifest(ctx, store, d, platforms.All)
	if err != nil {
		return reading{}, err
	}
	if m.ArtifactType != a.ArtifactType {
		return reading{}, fmt.Errorf("artifactType %q: %w", m.ArtifactType, errDiffers)
	}
	out.annotations, out.subject = m.Annotations, ""
	if m.Subject != nil {
		out.subject = described(*m.Subject)
	}
	return out, nil
}

func descriptorOf(a *policy.Artifact) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size}
}

type provider []byte

func (p provider) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return readerAt{bytes.NewReader(p)}, nil
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

var errDiffers = fmt.Errorf("it reads otherwise")

var readers = []struct {
	name string
	read func(*policy.Artifact, []byte) (reading, error)
}{
	{"go-containerregistry", craneReads}, {"oras-go", orasReads}, {"containerd", containerdReads},
	{"one that tells case apart", strangely(false)}, {"one that takes the first of two", strangely(true)},
}

var (
	dOne, dTwo = digest.FromString("one").String(), digest.FromString("two").String()
	d512       = digest.SHA512.FromString("two").String()
	config     = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + dOne + `","size":2}`
	layer      = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + dTwo + `","size":3}`
	child      = `{"mediaType":"` + manifest.OCIManifest + `","digest":"` + dOne + `","size":2,"platform":{"os":"linux","architecture":"arm64","variant":"v8"},"annotations":{"a":"b"}}`
)

func image(mediaType, extra string) string {
	return `{"schemaVersion":2,"mediaType":"` + mediaType + `","config":` + config + `,"layers":[` + layer + `]` + extra + `}`
}

func index(mediaType, extra string) string {
	return `{"schemaVersion":2,"mediaType":"` + mediaType + `","manifests":[` + child + `,` + child + `]` + extra + `}`
}

// plain are manifests that every reader reads.
var plain = []string{
	image(manifest.OCIManifest, ""),
	image(manifest.DockerManifest, ""),
	index(manifest.OCIIndex, ""),
	index(manifest.DockerList, ""),
	strings.Replace(image(manifest.OCIManifest, ""), `"mediaType":"`+manifest.OCIManifest+`",`, "", 1),
	strings.Replace(index(manifest.OCIIndex, ""), `"mediaType":"`+manifest.OCIIndex+`",`, "", 1),
	image(manifest.OCIManifest, `,"subject":`+child+`,"artifactType":"application/x","annotations":{"a":"1","A":"2","é":"\u00e9\ud83d\ude00"}`),
	index(manifest.OCIIndex, `,"subject":`+child+`,"annotations":{"":"x"}`),
	image(manifest.OCIManifest, `,"org.x":{"layers":[1],"Layers":2}`),
	strings.Replace(image(manifest.OCIManifest, ""), `"size":3`, `"size":3,"urls":["https://elsewhere.example/x"]`, 1),
	strings.Replace(image(manifest.OCIManifest, ""), `"size":3`, `"size":3,"data":"`+base64.StdEncoding.EncodeToString([]byte("two"))+`"`, 1),
	strings.Replace(image(manifest.OCIManifest, ""), `"size":3`, `"size":9223372036854775807`, 1),
	strings.Replace(image(manifest.OCIManifest, ""), "["+layer+"]", "[]", 1),
	strings.Replace(image(manifest.OCIManifest, ""), "["+layer+"]", "["+layer+","+layer+"]", 1),
	" \n\t" + image(manifest.OCIManifest, "") + "\r\n ",
	strings.Replace(image(manifest.OCIManifest, ""), `"config"`, `"\u0063onfig"`, 1),
	image(manifest.OCIManifest, `,"annotations":{"a":"\ud800"}`),
}

func TestEveryReaderReadsAPlainManifestAsWeDo(t *testing.T) {
	for _, body := range plain {
		m, err := manifest.Parse("", []byte(body))
		if err != nil {
			t.Errorf("we refuse it: %v\n%s", err, body)
			continue
		}
		for _, r := range readers {
			theirs, err := r.read(m.Artifact, []byte(body))
			if err != nil {
				t.Errorf("%s refuses it: %v\n%s", r.name, err, body)
				continue
			}
			if diff := ours(m).differs(theirs); diff != "" {
				t.Errorf("%s reads it otherwise: %s\n%s", r.name, diff, body)
			}
		}
	}
}

// FuzzManifest looks for a manifest that we accept and another reads otherwise.
func FuzzManifest(f *testing.F) {
	for _, body := range plain {
		f.Add("", body)
	}
	f.Add(manifest.OCIManifest, strings.ReplaceAll(image(manifest.OCIManifest, ""), dTwo, d512))
	f.Add(manifest.OCIIndex, strings.ReplaceAll(index(manifest.OCIIndex, ""), dOne, d512))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"manifests":[`+child+`]`))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"layerſ":[`+config+`]`))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"LAYERS":[]`))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"layers":[]`))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"config":`+layer))
	f.Add(manifest.OCIManifest, image(manifest.OCIManifest, `,"annotations":{"a":"1","a":"2"}`))
	f.Add(manifest.OCIManifest, strings.Replace(image(manifest.OCIManifest, ""), `"size":3`, `"size":3,"Size":4`, 1))
	f.Add("", strings.Replace(image(manifest.OCIManifest, ""), "["+layer+"]", "null", 1))
	f.Add("", strings.Replace(image(manifest.OCIManifest, ""), `"size":3`, `"size":3,"urls":null,"data":null,"platform":null`, 1))
	f.Add("", image(manifest.DockerManifest, `,"subject":`+child))
	f.Fuzz(func(t *testing.T, contentType, body string) {
		m, err := manifest.Parse(contentType, []byte(body))
		if err != nil {
			return
		}
		for _, r := range readers {
			theirs, err := r.read(m.Artifact, []byte(body))
			if err != nil {
				if strings.Contains(err.Error(), errDiffers.Error()) {
					t.Errorf("%s: %v", r.name, err)
				}
				continue
			}
			if diff := ours(m).differs(theirs); diff != "" {
				t.Errorf("%s reads it otherwise: %s", r.name, diff)
			}
		}
	})
}
