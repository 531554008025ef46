package kill_test

import (
	"fmt"
	"strings"
)

func descriptor(c *content, mediaType string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, c.digest, len(c.body))
}

// image is a manifest of blobs that are there; with a subject it is a referrer.
func image(config *content, layers []*content, subject *content) *content {
	m := &content{mediaType: manifestType, blobs: []string{config.digest}}
	var listed []string
	for _, l := range layers {
		listed = append(listed, descriptor(l, "application/vnd.oci.image.layer.v1.tar"))
		m.blobs = append(m.blobs, l.digest)
	}
	more := ""
	if subject != nil {
		m.subject = subject.digest
		more = `,"artifactType":"application/vnd.example.note","subject":` + descriptor(subject, subject.mediaType)
	}
	m.body = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`,
		manifestType, descriptor(config, "application/vnd.oci.image.config.v1+json"), strings.Join(listed, ","), more)
	m.digest = digestOf(m.body)
	return m
}

// index lists manifests; n makes it different from all others.
func index(children []*content, n int) *content {
	m := &content{mediaType: indexType}
	var listed []string
	for _, c := range children {
		listed = append(listed, descriptor(c, c.mediaType))
		m.children = append(m.children, c.digest)
	}
	m.body = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s],"annotations":{"n":"%d"}}`,
		indexType, strings.Join(listed, ","), n)
	m.digest = digestOf(m.body)
	return m
}
