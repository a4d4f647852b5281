-- Whom numbers belong to, for the lists of calls, and numbers that supervisors set themselves.
-- Times are milliseconds since 1970 in UTC.

-- number: E.164.
CREATE TABLE contacts (
    organisation TEXT NOT NULL,
    number       TEXT NOT NULL,
    name         TEXT NOT NULL,
    PRIMARY KEY (organisation, number)
);

-- Goes up with every change of an organisation's contacts, so that a copy in memory can be told
-- from the present.
CREATE TABLE contact_books (
    organisation TEXT PRIMARY KEY,
    generation   BIGINT NOT NULL
);

-- The number that a supervisor wants to be registered with and has not proven yet. calls: how
-- often it was called since calls_since_ms; tries: wrong codes since the code was made.
CREATE TABLE phone_proofs (
    organisation   TEXT NOT NULL,
    user_name      TEXT NOT NULL,
    number         TEXT NOT NULL,
    code_hash      TEXT,
    expires_ms     BIGINT NOT NULL,
    tries          BIGINT NOT NULL,
    calls          BIGINT NOT NULL,
    calls_since_ms BIGINT NOT NULL,
    PRIMARY KEY (organisation, user_name)
);

-- What reports and lists ask for.
CREATE INDEX audit_by_session ON audit (session) WHERE session IS NOT NULL;
CREATE INDEX audit_by_call ON audit (call) WHERE call IS NOT NULL;
CREATE INDEX help_requests_by_time ON help_requests (requested_ms);
