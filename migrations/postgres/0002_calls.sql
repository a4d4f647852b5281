-- What happened. Ids are the hexadecimal ones of logs and API; times are milliseconds since 1970 in UTC.

CREATE TABLE calls (
    id           TEXT PRIMARY KEY,
    node         TEXT NOT NULL,
    organisation TEXT,
    agent        TEXT,
    pool         TEXT,
    direction    TEXT NOT NULL,
    from_number  TEXT NOT NULL,
    to_number    TEXT NOT NULL,
    started_ms   BIGINT NOT NULL,
    answered_ms  BIGINT,
    ended_ms     BIGINT,
    cause        TEXT
);
CREATE INDEX calls_open ON calls (node) WHERE ended_ms IS NULL;
CREATE INDEX calls_by_time ON calls (started_ms);

CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    node         TEXT NOT NULL,
    call         TEXT NOT NULL,
    organisation TEXT NOT NULL,
    supervisor   TEXT NOT NULL,
    started_ms   BIGINT NOT NULL,
    ended_ms     BIGINT,
    cause        TEXT
);
CREATE INDEX sessions_open ON sessions (node) WHERE ended_ms IS NULL;
CREATE INDEX sessions_by_time ON sessions (started_ms);

CREATE TABLE help_requests (
    id           TEXT PRIMARY KEY,
    node         TEXT NOT NULL,
    organisation TEXT NOT NULL,
    call         TEXT NOT NULL,
    agent        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    comment      TEXT NOT NULL,
    state        TEXT NOT NULL,
    provided_by  TEXT,
    requested_ms BIGINT NOT NULL,
    accepted_ms  BIGINT,
    ended_ms     BIGINT
);
CREATE INDEX help_requests_open ON help_requests (node) WHERE ended_ms IS NULL;

-- Append-only. Each row's hash covers the row and the hash before it; `sottovoce audit verify`
-- computes them again. record: the id under which the row was handed to the store.
CREATE TABLE audit (
    seq          BIGINT PRIMARY KEY,
    at_ms        BIGINT NOT NULL,
    organisation TEXT,
    actor        TEXT NOT NULL,
    source       TEXT NOT NULL,
    call         TEXT,
    session      TEXT,
    agent        TEXT,
    customer     TEXT,
    action       TEXT NOT NULL,
    detail       TEXT,
    role_before  TEXT,
    role_after   TEXT,
    outcome      TEXT NOT NULL,
    code         BIGINT,
    help_request TEXT,
    record       TEXT NOT NULL,
    hash         TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_record ON audit (record);

-- The end of the chain, so that rows cut off from it are missed. One row.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');
