-- +goose Up

-- Numbers that people, projects and the rest are known by outside (Harbor's ids).
-- They belong to the installation, and none is given twice.
CREATE TABLE counters (
    kind   TEXT COLLATE "C" NOT NULL,
    newest BIGINT NOT NULL,
    PRIMARY KEY (kind)
);

-- A person is who an issuer says; the name is for display and for logging in
-- locally. generation grows whenever what was got with a credential must end.
CREATE TABLE people (
    workspace  TEXT COLLATE "C" NOT NULL,
    id         BIGINT NOT NULL,
    issuer     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    email      TEXT COLLATE "C" NOT NULL,
    real_name  TEXT COLLATE "C" NOT NULL,
    comment    TEXT COLLATE "C" NOT NULL,
    password   TEXT COLLATE "C" NOT NULL,
    admin      BOOLEAN NOT NULL,
    disabled   BOOLEAN NOT NULL,
    member_of  TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    seen       BIGINT NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, issuer, subject),
    UNIQUE (workspace, name)
);
INSERT INTO people (workspace, id, issuer, subject, name, email, real_name, comment, password,
        admin, disabled, member_of, generation, created, seen)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY created, workspace, name), 'local', name, name, email, real_name, '', password,
        admin, disabled, 'null', 0, created, 0
    FROM users;
INSERT INTO counters (kind, newest) SELECT 'person', COUNT(*) FROM people;
DROP TABLE users;

CREATE TABLE user_groups (
    workspace TEXT COLLATE "C" NOT NULL,
    id        BIGINT NOT NULL,
    issuer    TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    dn        TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, issuer, name)
);
INSERT INTO user_groups (workspace, id, issuer, name, dn, created)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY workspace, issuer, name), issuer, name, '', 0
    FROM (SELECT DISTINCT workspace, issuer, name FROM members WHERE kind = 'group') named;
INSERT INTO counters (kind, newest) SELECT 'group', COUNT(*) FROM user_groups;

ALTER TABLE projects ADD COLUMN id          BIGINT NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN description TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN metadata    TEXT COLLATE "C" NOT NULL DEFAULT 'null';
ALTER TABLE projects ADD COLUMN policies    TEXT COLLATE "C" NOT NULL DEFAULT 'null';
UPDATE projects SET id = numbered.id FROM (
        SELECT workspace, name, ROW_NUMBER() OVER (ORDER BY created, workspace, name) AS id FROM projects
    ) numbered WHERE numbered.workspace = projects.workspace AND numbered.name = projects.name;
CREATE UNIQUE INDEX projects_id ON projects (workspace, id);
INSERT INTO counters (kind, newest) SELECT 'project', COUNT(*) FROM projects;

-- repositories is a pattern within the project, empty for all of it: one member
-- may have several grants. claims are a workload's.
ALTER TABLE members RENAME TO members_of_old;
CREATE TABLE members (
    workspace    TEXT COLLATE "C" NOT NULL,
    id           BIGINT NOT NULL,
    project      TEXT COLLATE "C" NOT NULL,
    issuer       TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    repositories TEXT COLLATE "C" NOT NULL,
    role         TEXT COLLATE "C" NOT NULL,
    claims       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, project, issuer, kind, name, repositories),
    FOREIGN KEY (workspace, project) REFERENCES projects (workspace, name) ON DELETE CASCADE
);
CREATE INDEX members_name ON members (workspace, kind, issuer, name);
INSERT INTO members (workspace, id, project, issuer, kind, name, repositories, role, claims)
    SELECT workspace, ROW_NUMBER() OVER (ORDER BY workspace, project, issuer, kind, name),
        project, issuer, kind, name, '', role, 'null'
    FROM members_of_old;
INSERT INTO counters (kind, newest) SELECT 'member', COUNT(*) FROM members;
DROP TABLE members_of_old;

-- Roles that somebody made beside the shipped ones.
CREATE TABLE roles (
    workspace   TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    rights      TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

-- The project of a robot of the system is empty. While old_until has not come,
-- old_secret is good beside secret; both are hashes.
CREATE TABLE robots (
    workspace      TEXT COLLATE "C" NOT NULL,
    id             BIGINT NOT NULL,
    project        TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    description    TEXT COLLATE "C" NOT NULL,
    disabled       BOOLEAN NOT NULL,
    created        BIGINT NOT NULL,
    expires        BIGINT NOT NULL,
    creator_issuer TEXT COLLATE "C" NOT NULL,
    creator        TEXT COLLATE "C" NOT NULL,
    grants         TEXT COLLATE "C" NOT NULL,
    permissions    TEXT COLLATE "C" NOT NULL,
    secret         BYTEA NOT NULL,
    old_secret     BYTEA,
    old_until      BIGINT NOT NULL,
    generation     BIGINT NOT NULL,
    last_used      BIGINT NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, project, name)
);
CREATE INDEX robots_id ON robots (id);

CREATE TABLE access_tokens (
    workspace TEXT COLLATE "C" NOT NULL,
    id        BIGINT NOT NULL,
    issuer    TEXT COLLATE "C" NOT NULL,
    owner     TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    limited   BOOLEAN NOT NULL,
    limits    TEXT COLLATE "C" NOT NULL,
    hash      BYTEA NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    PRIMARY KEY (workspace, id),
    UNIQUE (workspace, hash),
    UNIQUE (workspace, issuer, owner, name),
    FOREIGN KEY (workspace, issuer, owner) REFERENCES people (workspace, issuer, subject) ON DELETE CASCADE
);
CREATE INDEX access_tokens_id ON access_tokens (id);

-- The id is a hash of the cookie; refresh is sealed by whoever wrote it.
CREATE TABLE sessions (
    workspace TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    issuer    TEXT COLLATE "C" NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    member_of TEXT COLLATE "C" NOT NULL,
    claims    TEXT COLLATE "C" NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    refreshed BIGINT NOT NULL,
    refresh   BYTEA,
    PRIMARY KEY (workspace, id),
    FOREIGN KEY (workspace, issuer, subject) REFERENCES people (workspace, issuer, subject) ON DELETE CASCADE
);
CREATE INDEX sessions_subject ON sessions (workspace, issuer, subject);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE workspaces (
    name        TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    created     BIGINT NOT NULL,
    PRIMARY KEY (name)
);
INSERT INTO workspaces (name, description, created)
    SELECT workspace, '', 0 FROM people UNION SELECT workspace, '', 0 FROM projects
    UNION SELECT workspace, '', 0 FROM repositories UNION SELECT 'default', '', 0;

-- A host leads to one workspace.
CREATE TABLE workspace_hosts (
    host      TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (host),
    FOREIGN KEY (workspace) REFERENCES workspaces (name) ON DELETE CASCADE
);
CREATE INDEX workspace_hosts_workspace ON workspace_hosts (workspace);

-- +goose Down

-- What the older schema has no place for is lost: people of other issuers, what
-- members have in a part of a project, robots, tokens, sessions, roles.
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
INSERT INTO users (workspace, name, email, real_name, password, admin, disabled, created)
    SELECT workspace, subject, email, real_name, password, admin, disabled, created
    FROM people WHERE issuer = 'local';
ALTER TABLE members RENAME TO members_of_new;
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
