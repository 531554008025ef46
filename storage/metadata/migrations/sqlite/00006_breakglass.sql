-- +goose Up

-- Grants for an emergency. until is from when a grant can hold no more, whether by its
-- end, by somebody who ended it or by a refusal.
CREATE TABLE breakglass (
    workspace TEXT NOT NULL,
    id        TEXT NOT NULL,
    body      TEXT NOT NULL,
    created   INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    PRIMARY KEY (workspace, id)
) WITHOUT ROWID;
CREATE INDEX breakglass_until ON breakglass (until);
CREATE INDEX breakglass_created ON breakglass (workspace, created);

-- +goose Down

DROP TABLE breakglass;
