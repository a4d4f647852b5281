-- The people: what people.toml says. Times are milliseconds since 1970 in UTC; flags are 0 and 1.

CREATE TABLE organisations (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    supervision  BIGINT NOT NULL,
    agent_notice TEXT,
    help_keys    BIGINT NOT NULL
);

-- A supervising number belongs to one organisation of the node.
CREATE TABLE supervising_numbers (
    number       TEXT PRIMARY KEY,
    organisation TEXT NOT NULL,
    position     BIGINT NOT NULL
);

CREATE TABLE pools (
    organisation TEXT NOT NULL,
    name         TEXT NOT NULL,
    agent_notice TEXT,
    PRIMARY KEY (organisation, name)
);

CREATE TABLE agents (
    organisation  TEXT NOT NULL,
    extension     TEXT NOT NULL,
    name          TEXT NOT NULL,
    contact       TEXT,
    agent_notice  TEXT,
    password_hash TEXT,
    PRIMARY KEY (organisation, extension)
);

CREATE TABLE agent_pools (
    organisation TEXT NOT NULL,
    extension    TEXT NOT NULL,
    pool         TEXT NOT NULL,
    position     BIGINT NOT NULL,
    PRIMARY KEY (organisation, extension, pool)
);

CREATE TABLE supervisors (
    organisation    TEXT NOT NULL,
    user_name       TEXT NOT NULL,
    name            TEXT NOT NULL,
    default_country TEXT,
    agent_extension TEXT,
    pin_hash        TEXT,
    password_hash   TEXT,
    may             TEXT NOT NULL,
    language        TEXT,
    PRIMARY KEY (organisation, user_name)
);

-- The one registered phone of a supervisor, E.164.
CREATE TABLE phones (
    organisation TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    number       TEXT NOT NULL,
    PRIMARY KEY (organisation, user_name),
    UNIQUE (organisation, number)
);

CREATE TABLE supervisor_devices (
    organisation TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    device       TEXT NOT NULL,
    position     BIGINT NOT NULL,
    PRIMARY KEY (organisation, user_name, device)
);

CREATE TABLE supervisor_pools (
    organisation TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    pool         TEXT NOT NULL,
    position     BIGINT NOT NULL,
    PRIMARY KEY (organisation, user_name, pool)
);

-- Phones that register here. The user name of digest authentication is unique on the node, since
-- there is one realm. kind: agent or supervisor; who: the extension or the user.
CREATE TABLE sip_users (
    user_name    TEXT PRIMARY KEY,
    organisation TEXT NOT NULL,
    kind         TEXT NOT NULL,
    who          TEXT NOT NULL,
    ha1_md5      TEXT NOT NULL,
    ha1_sha256   TEXT NOT NULL,
    UNIQUE (organisation, kind, who)
);

CREATE TABLE administrators (
    user_name     TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created_ms    BIGINT NOT NULL
);

-- Signed in at the console or the API. Tokens are kept as their SHA-256.
CREATE TABLE http_sessions (
    token_hash   TEXT PRIMARY KEY,
    organisation TEXT,
    kind         TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX http_sessions_by_expiry ON http_sessions (expires_ms);
