// Package metadata is the SQL behind a gateway: workspaces, people, groups,
// robots, access tokens, projects and waivers, whose truth is the database, and
// the index of manifests, tags and blobs, which is derived from the storage
// engine's content and can be rebuilt.
//
// It runs on SQLite (one file, no services) and on PostgreSQL 13 or newer (a
// fleet) with one set of queries. What a decision needs of the former is also
// held in memory as one immutable view, replaced before a changing call returns;
// the index's answers are cached and dropped when they change. Replicas learn of
// each other's changes from the changes table.
//
// It refuses to judge: it knows who has which role and never what a role may
// do. It keeps hashes of secrets and never sees a secret. It refuses to hold
// content: bytes are the engine's. The composition root and its own tests import
// it; the gateway sees it through interfaces of its own.
package metadata
