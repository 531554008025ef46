// Package metadata is the SQL behind a gateway: people, projects and waivers,
// whose truth is the database, and the index of manifests, tags and blobs,
// which is derived from the storage engine's content and can be rebuilt.
//
// It runs on SQLite (one file, no services) and on PostgreSQL 13 or newer (a fleet) with one
// set of queries. People, projects and waivers are also held in memory as one
// immutable view, replaced before a changing call returns; the index's answers
// are cached and dropped when they change. Replicas learn of each other's
// changes from the changes table.
//
// It refuses to judge: it knows who has which role and never what a role may
// do. It refuses to hold content: bytes are the engine's. The composition root
// and its own tests import it; the gateway sees it through interfaces of its own.
package metadata
