-- +goose Up

-- Grants for an emergency. until is from when a grant can hold no more, whether by its
-- end, by somebody who ended it or by a refusal.
CREATE TABLE breakglass (
    workspace TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    body      TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX breakglass_until ON breakglass (until);
CREATE INDEX breakglass_created ON breakglass (workspace, created);

-- +goose Down

DROP TABLE breakglass;
