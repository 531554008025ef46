package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// image is one layer of random bytes, its configuration and its manifest, and
// their digests.
type image struct {
	layer, config, manifest    []byte
	layerID, configID, imageID string
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func newImage(size int, user string) *image {
	im := &image{layer: make([]byte, size)}
	_, _ = rand.Read(im.layer) // never fails
	im.layerID = digestOf(im.layer)
	im.config = fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"User":%q},"rootfs":{"type":"layers","diff_ids":[%q]}}`, user, im.layerID)
	im.configID = digestOf(im.config)
	im.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, im.configID, len(im.config), im.layerID, len(im.layer))
	im.imageID = digestOf(im.manifest)
	return im
}

// referTo makes the image one that refers to another, as a signature does.
func (im *image) referTo(other *image) *image {
	im.manifest = fmt.Appendf(nil, `%s,"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		im.manifest[:len(im.manifest)-1], manifestType, other.imageID, len(other.manifest))
	im.imageID = digestOf(im.manifest)
	return im
}

// push pushes the image under a tag.
func (im *image) push(ctx context.Context, c *client, auth, repo, tag string) error {
	if err := upload(ctx, c, auth, repo, im.layer, im.layerID); err != nil {
		return err
	}
	if err := upload(ctx, c, auth, repo, im.config, im.configID); err != nil {
		return err
	}
	return im.tag(ctx, c, auth, repo, tag)
}

// tag puts the manifest under a tag: the first of it, or one more.
func (im *image) tag(ctx context.Context, c *client, auth, repo, tag string) error {
	_, err := c.want(ctx, ask{
		method: http.MethodPut, path: "/v2/" + repo + "/manifests/" + tag, auth: auth,
		header: map[string]string{"Content-Type": manifestType}, body: im.manifest,
	}, http.StatusCreated)
	return err
}

// remove deletes all that push made.
func (im *image) remove(ctx context.Context, c *client, auth, repo string) error {
	for _, path := range []string{"manifests/" + im.imageID, "blobs/" + im.layerID, "blobs/" + im.configID} {
		if _, err := c.want(ctx, ask{method: http.MethodDelete, path: "/v2/" + repo + "/" + path, auth: auth}, http.StatusAccepted); err != nil {
			return err
		}
	}
	return nil
}

// begin opens an upload and answers where it goes on.
func begin(ctx context.Context, c *client, auth, repo string) (string, error) {
	r, err := c.want(ctx, ask{method: http.MethodPost, path: "/v2/" + repo + "/blobs/uploads/", auth: auth}, http.StatusAccepted)
	if err != nil {
		return "", err
	}
	return target(r.location)
}

// upload pushes a blob as most clients do: POST, and PUT of the whole.
func upload(ctx context.Context, c *client, auth, repo string, blob []byte, digest string) error {
	at, err := begin(ctx, c, auth, repo)
	if err != nil {
		return err
	}
	_, err = c.want(ctx, ask{
		method: http.MethodPut, path: withDigest(at, digest), auth: auth,
		header: map[string]string{"Content-Type": "application/octet-stream"}, body: blob,
	}, http.StatusCreated)
	return err
}

func withDigest(at, digest string) string {
	if strings.Contains(at, "?") {
		return at + "&digest=" + digest
	}
	return at + "?digest=" + digest
}
