-- +goose Up

-- A person who is another one too. A main person is linked to nobody: there are
-- no chains, so one step finds all of them.
CREATE TABLE links (
    workspace TEXT NOT NULL,
    person    INTEGER NOT NULL,
    main      INTEGER NOT NULL,
    PRIMARY KEY (workspace, person),
    FOREIGN KEY (workspace, person) REFERENCES people (workspace, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace, main) REFERENCES people (workspace, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX links_main ON links (workspace, main);

-- Whoever is in such a group is an administrator.
ALTER TABLE user_groups ADD COLUMN admin INTEGER NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE user_groups DROP COLUMN admin;
DROP TABLE links;
