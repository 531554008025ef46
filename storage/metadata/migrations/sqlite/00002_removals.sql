-- +goose Up

-- What the index has let go of and storage may still link.
CREATE TABLE removals (
    workspace  TEXT NOT NULL,
    repository TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (workspace, repository, kind, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE removals;
