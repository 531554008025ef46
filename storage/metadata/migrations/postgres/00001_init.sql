-- +goose Up
-- Names compare byte by byte (COLLATE "C"): paging by key must not depend on a locale.

-- People. Times are microseconds since 1970 (UTC) in every table.
CREATE TABLE users (
    workspace TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    email     TEXT COLLATE "C" NOT NULL,
    real_name TEXT COLLATE "C" NOT NULL,
    password  TEXT COLLATE "C" NOT NULL,
    admin     BOOLEAN NOT NULL,
    disabled  BOOLEAN NOT NULL,
    created   BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE projects (
    workspace TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    public    BOOLEAN NOT NULL,
    owner     TEXT COLLATE "C" NOT NULL,
    labels    TEXT COLLATE "C" NOT NULL,
    packs     TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE members (
    workspace TEXT COLLATE "C" NOT NULL,
    project   TEXT COLLATE "C" NOT NULL,
    issuer    TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    role      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, project, issuer, kind, name),
    FOREIGN KEY (workspace, project) REFERENCES projects (workspace, name) ON DELETE CASCADE
);

CREATE TABLE waivers (
    workspace TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    body      TEXT COLLATE "C" NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);

-- Keys of the installation itself; they belong to no workspace.
CREATE TABLE secrets (
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    data    BYTEA  NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The index: derived from the engine's content, rebuilt by a reindex.
CREATE TABLE repositories (
    workspace TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE artifacts (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    pushed_at  BIGINT NOT NULL,
    pushed_by  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, repository, digest)
);
CREATE INDEX artifacts_subject ON artifacts (workspace, repository, subject, pushed_at, digest) WHERE subject <> '';

CREATE TABLE tags (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    updated    BIGINT NOT NULL,
    PRIMARY KEY (workspace, repository, name)
);
-- The digest comes first so that no planner takes this index for a page of tags.
CREATE INDEX tags_digest ON tags (digest, workspace, repository);

-- Other digests that clients named the same bytes by.
CREATE TABLE aliases (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    alias      TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, repository, alias)
);
CREATE INDEX aliases_digest ON aliases (digest, workspace, repository);

CREATE TABLE blobs (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    PRIMARY KEY (workspace, repository, digest)
);

-- The push's time is in the key so that the newest manifests of a base layer
-- that thousands of manifests share are the end of a range.
CREATE TABLE manifest_blobs (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    blob       TEXT COLLATE "C" NOT NULL,
    pushed_at  BIGINT NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, repository, blob, pushed_at, digest)
);

CREATE TABLE manifest_children (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    child      TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, repository, child, digest)
);

-- One row in the transaction of each change that somebody may hold in memory.
-- Numbers are given before a commit, so rows appear out of order; xid lets a
-- reader ask for what was not yet visible to it.
CREATE TABLE changes (
    seq       BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    workspace TEXT COLLATE "C" NOT NULL,
    kind      TEXT COLLATE "C" NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    origin    TEXT COLLATE "C" NOT NULL,
    at        BIGINT NOT NULL,
    xid       XID8   NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX changes_xid ON changes (xid);

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
