-- +goose Up

-- Numbers that people, projects and the rest are known by outside (Harbor's ids).
-- They belong to the installation, and none is given twice.
CREATE TABLE counters (
    kind   TEXT NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (kind)
) WITHOUT ROWID;

-- A person is who an issuer says; the name is for display and for logging in
-- locally. generation grows whenever what was got with a credential must end.
CREATE TABLE people (
    workspace  TEXT NOT NULL,
    id         INTEGER NOT NULL,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    real_name  TEXT NOT NULL,
    comment    TEXT NOT NULL,
    password   TEXT NOT NULL,
    admin      INTEGER NOT NULL,
    disabled   INTEGER NOT NULL,
    member_of  TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, issuer, subject),
    UNIQUE (workspace, name)
) WITHOUT ROWID;
INSERT INTO people (workspace, id, issuer, subject, name, email, real_name, comment, password,
        admin, disabled, member_of, generation, created, seen)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY created, workspace, name), 'local', name, name, email, real_name, '', password,
        admin, disabled, 'null', 0, created, 0
    FROM users;
INSERT INTO counters (kind, newest) SELECT 'person', COUNT(*) FROM people;
DROP TABLE users;

CREATE TABLE user_groups (
    workspace TEXT NOT NULL,
    id        INTEGER NOT NULL,
    issuer    TEXT NOT NULL,
    name      TEXT NOT NULL,
    dn        TEXT NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, issuer, name)
) WITHOUT ROWID;
INSERT INTO user_groups (workspace, id, issuer, name, dn, created)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY workspace, issuer, name), issuer, name, '', 0
    FROM (SELECT DISTINCT workspace, issuer, name FROM members WHERE kind = 'group') named;
INSERT INTO counters (kind, newest) SELECT 'group', COUNT(*) FROM user_groups;

ALTER TABLE projects ADD COLUMN id          INTEGER NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN metadata    TEXT NOT NULL DEFAULT 'null';
ALTER TABLE projects ADD COLUMN policies    TEXT NOT NULL DEFAULT 'null';
UPDATE projects SET id = numbered.id FROM (
        SELECT workspace, name, ROW_NUMBER() OVER (ORDER BY created, workspace, name) AS id FROM projects
    ) numbered WHERE numbered.workspace = projects.workspace AND numbered.name = projects.name;
CREATE UNIQUE INDEX projects_id ON projects (workspace, id);
INSERT INTO counters (kind, newest) SELECT 'project', COUNT(*) FROM projects;

-- repositories is a pattern within the project, empty for all of it: one member
-- may have several grants. claims are a workload's.
ALTER TABLE members RENAME TO members_of_old;
CREATE TABLE members (
    workspace    TEXT NOT NULL,
    id           INTEGER NOT NULL,
    project      TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    repositories TEXT NOT NULL,
    role         TEXT NOT NULL,
    claims       TEXT NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, project, issuer, kind, name, repositories),
    FOREIGN KEY (workspace, project) REFERENCES projects (workspace, name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX members_name ON members (workspace, kind, issuer, name);
INSERT INTO members (workspace, id, project, issuer, kind, name, repositories, role, claims)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY workspace, project, issuer, kind, name),
        project, issuer, kind, name, '', role, 'null'
    FROM members_of_old;
INSERT INTO counters (kind, newest) SELECT 'member', COUNT(*) FROM members;
DROP TABLE members_of_old;

-- Roles that somebody made beside the shipped ones.
CREATE TABLE roles (
    workspace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    rights      TEXT NOT NULL,
    description TEXT NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

-- The project of a robot of the system is empty. While old_until has not come,
-- old_secret is good beside secret; both are hashes.
CREATE TABLE robots (
    workspace      TEXT NOT NULL,
    id             INTEGER NOT NULL,
    project        TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    disabled       INTEGER NOT NULL,
    created        INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    creator_issuer TEXT NOT NULL,
    creator        TEXT NOT NULL,
    grants         TEXT NOT NULL,
    permissions    TEXT NOT NULL,
    secret         BLOB NOT NULL,
    old_secret     BLOB,
    old_until      INTEGER NOT NULL,
    generation     INTEGER NOT NULL,
    last_used      INTEGER NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, project, name)
) WITHOUT ROWID;
CREATE INDEX robots_id ON robots (id);

CREATE TABLE access_tokens (
    workspace TEXT NOT NULL,
    id        INTEGER NOT NULL,
    issuer    TEXT NOT NULL,
    owner     TEXT NOT NULL,
    name      TEXT NOT NULL,
    limited   INTEGER NOT NULL,
    limits    TEXT NOT NULL,
    hash      BLOB NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, hash),
    UNIQUE (workspace, issuer, owner, name),
    FOREIGN KEY (workspace, issuer, owner) REFERENCES people (workspace, issuer, subject) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX access_tokens_id ON access_tokens (id);

-- The id is a hash of the cookie; refresh is sealed by whoever wrote it.
CREATE TABLE sessions (
    workspace TEXT NOT NULL,
    id        TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    name      TEXT NOT NULL,
    member_of TEXT NOT NULL,
    claims    TEXT NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    refreshed INTEGER NOT NULL,
    refresh   BLOB,
    PRIMARY KEY (workspace, id),
    FOREIGN KEY (workspace, issuer, subject) REFERENCES people (workspace, issuer, subject) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX sessions_subject ON sessions (workspace, issuer, subject);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE workspaces (
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;
INSERT INTO workspaces (name, description, created)
    SELECT workspace, '', 0 FROM people UNION SELECT workspace, '', 0 FROM projects
    UNION SELECT workspace, '', 0 FROM repositories UNION SELECT 'default', '', 0;

-- A host leads to one workspace.
CREATE TABLE workspace_hosts (
    host      TEXT NOT NULL,
    workspace TEXT NOT NULL,
    PRIMARY KEY (host),
    FOREIGN KEY (workspace) REFERENCES workspaces (name) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX workspace_hosts_workspace ON workspace_hosts (workspace);

-- +goose Down

-- What the older schema has no place for is lost: people of other issuers, what
-- members have in a part of a project, robots, tokens, sessions, roles.
CREATE TABLE users (
    workspace TEXT NOT NULL,
    name      TEXT NOT NULL,
    email     TEXT NOT NULL,
    real_name TEXT NOT NULL,
    password  TEXT NOT NULL,
    admin     INTEGER NOT NULL,
    disabled  INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;
INSERT INTO users (workspace, name, email, real_name, password, admin, disabled, created)
    SELECT workspace, subject, email, real_name, password, admin, disabled, created
    FROM people WHERE issuer = 'local';
ALTER TABLE members RENAME TO members_of_new;
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
INSERT INTO members (workspace, project, issuer, kind, name, role)
    SELECT workspace, project, issuer, kind, name, role FROM members_of_new
    WHERE repositories = '' AND kind IN ('user', 'group');
DROP TABLE members_of_new;
DROP TABLE workspace_hosts;
DROP TABLE workspaces;
DROP TABLE sessions;
DROP TABLE access_tokens;
DROP TABLE robots;
DROP TABLE roles;
DROP INDEX projects_id;
ALTER TABLE projects DROP COLUMN policies;
ALTER TABLE projects DROP COLUMN metadata;
ALTER TABLE projects DROP COLUMN description;
ALTER TABLE projects DROP COLUMN id;
DROP TABLE user_groups;
DROP TABLE people;
DROP TABLE counters;
