// Package oci speaks the distribution-spec 1.1: uploads, blobs, manifests, tags,
// referrers, the catalog. It knows what clients expect of each answer, and in
// which order things must happen so that nothing is served or written before it
// was decided, and nothing is half there after it was acknowledged.
//
// It refuses to decide: every operation asks the gate, by way of an interface,
// before a byte of content leaves and before anything is written. It refuses to
// know who stores what: the engine and the index are interfaces too. It does not
// write error answers; [Protocol.Serve] returns them.
//
// cmd/bondgate makes one and the edge calls it; nobody else imports it.
package oci
