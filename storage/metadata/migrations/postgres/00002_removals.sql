-- +goose Up

-- What the index has let go of and storage may still link.
CREATE TABLE removals (
    workspace  TEXT COLLATE "C" NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, repository, kind, name)
);

-- +goose Down
DROP TABLE removals;
