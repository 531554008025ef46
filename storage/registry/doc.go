// Package registry keeps content: blobs, manifests, tag links and unfinished
// uploads, in the storage layout of the distribution project, over any of its
// storage drivers. A folder or bucket that this package wrote can be served by
// a plain distribution registry, and the other way round.
//
// It is for whoever joins storage to the protocol: the composition root, and
// tests. It is the only importer of distribution.
//
// It refuses to decide who may do what, to know a media type's meaning, to
// redirect a client to the store behind it, and to trust a name: repository,
// tag, digest and upload id are checked again before any of them becomes a
// path. Every failure is one of the classes of package policy.
package registry
