-- +goose Up

-- Changes with every change of the waiver: whoever approves one names what was read.
ALTER TABLE waivers ADD COLUMN version TEXT NOT NULL DEFAULT 'first';

-- Waivers whose end was told, so that one of all replicas tells it.
CREATE TABLE waiver_ends (
    workspace TEXT    NOT NULL,
    origin    TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    expires   INTEGER NOT NULL,
    PRIMARY KEY (workspace, origin, id, expires)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE waiver_ends;
ALTER TABLE waivers DROP COLUMN version;
