-- +goose Up

-- Changes with every change of the waiver: whoever approves one names what was read.
ALTER TABLE waivers ADD COLUMN version TEXT COLLATE "C" NOT NULL DEFAULT 'first';

-- Waivers whose end was told, so that one of all replicas tells it.
CREATE TABLE waiver_ends (
    workspace TEXT COLLATE "C" NOT NULL,
    origin    TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (workspace, origin, id, expires)
);

-- +goose Down

DROP TABLE waiver_ends;
ALTER TABLE waivers DROP COLUMN version;
