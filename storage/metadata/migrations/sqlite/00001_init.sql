-- +goose Up

-- People. Times are microseconds since 1970 (UTC) in every table.
CREATE TABLE users (
    workspace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    email     TEXT    NOT NULL,
    real_name TEXT    NOT NULL,
    password  TEXT    NOT NULL,
    admin     INTEGER NOT NULL,
    disabled  INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

CREATE TABLE projects (
    workspace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    public    INTEGER NOT NULL,
    owner     TEXT    NOT NULL,
    labels    TEXT    NOT NULL,
    packs     TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

CREATE TABLE members (
    workspace TEXT NOT NULL,
    project   TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    name      TEXT NOT NULL,
    role      TEXT NOT NULL,
    PRIMARY KEY (workspace, project, issuer, kind, name),
    FOREIGN KEY (workspace, project) REFERENCES projects (workspace, name) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE waivers (
    workspace TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    body      TEXT    NOT NULL,
    expires   INTEGER NOT NULL,
    PRIMARY KEY (workspace, id)
) WITHOUT ROWID;

-- Keys of the installation itself; they belong to no workspace.
CREATE TABLE secrets (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    data    BLOB    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;

-- The index: derived from the engine's content, rebuilt by a reindex.
CREATE TABLE repositories (
    workspace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

CREATE TABLE artifacts (
    workspace  TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    pushed_at  INTEGER NOT NULL,
    pushed_by  TEXT    NOT NULL,
    PRIMARY KEY (workspace, repository, digest)
);
CREATE INDEX artifacts_subject ON artifacts (workspace, repository, subject, pushed_at, digest) WHERE subject <> '';

CREATE TABLE tags (
    workspace  TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    updated    INTEGER NOT NULL,
    PRIMARY KEY (workspace, repository, name)
) WITHOUT ROWID;
-- The digest comes first so that no planner takes this index for a page of tags.
CREATE INDEX tags_digest ON tags (digest, workspace, repository);

-- Other digests that clients named the same bytes by.
CREATE TABLE aliases (
    workspace  TEXT NOT NULL,
    repository TEXT NOT NULL,
    alias      TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (workspace, repository, alias)
) WITHOUT ROWID;
CREATE INDEX aliases_digest ON aliases (digest, workspace, repository);

CREATE TABLE blobs (
    workspace  TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    PRIMARY KEY (workspace, repository, digest)
) WITHOUT ROWID;

-- The push's time is in the key so that the newest manifests of a base layer
-- that thousands of manifests share are the end of a range.
CREATE TABLE manifest_blobs (
    workspace  TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    blob       TEXT    NOT NULL,
    pushed_at  INTEGER NOT NULL,
    digest     TEXT    NOT NULL,
    PRIMARY KEY (workspace, repository, blob, pushed_at, digest)
) WITHOUT ROWID;

CREATE TABLE manifest_children (
    workspace  TEXT NOT NULL,
    repository TEXT NOT NULL,
    child      TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (workspace, repository, child, digest)
) WITHOUT ROWID;

-- One row in the transaction of each change that somebody may hold in memory.
CREATE TABLE changes (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    origin    TEXT    NOT NULL,
    at        INTEGER NOT NULL
);

-- +goose Down
DROP TABLE changes;
DROP TABLE manifest_children;
DROP TABLE manifest_blobs;
DROP TABLE blobs;
DROP TABLE aliases;
DROP TABLE tags;
DROP TABLE artifacts;
DROP TABLE repositories;
DROP TABLE secrets;
DROP TABLE waivers;
DROP TABLE members;
DROP TABLE projects;
DROP TABLE users;
