-- +goose Up

-- A person who is another one too. A main person is linked to nobody: there are
-- no chains, so one step finds all of them.
CREATE TABLE links (
    workspace TEXT COLLATE "C" NOT NULL,
    person    BIGINT NOT NULL,
    main      BIGINT NOT NULL,
    PRIMARY KEY (workspace, person),
    FOREIGN KEY (workspace, person) REFERENCES people (workspace, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace, main) REFERENCES people (workspace, id) ON DELETE CASCADE
);
CREATE INDEX links_main ON links (workspace, main);

-- Whoever is in such a group is an administrator.
ALTER TABLE user_groups ADD COLUMN admin BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down

ALTER TABLE user_groups DROP COLUMN admin;
DROP TABLE links;
