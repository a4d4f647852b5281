-- Webhooks: where an organisation's events are sent, and what has not arrived there yet.

-- events: names of events, separated by spaces; '*' for all of them.
CREATE TABLE webhooks (
    id           TEXT PRIMARY KEY,
    organisation TEXT NOT NULL,
    url          TEXT NOT NULL,
    secret       TEXT NOT NULL,
    events       TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX webhooks_by_organisation ON webhooks (organisation);

-- An event on its way to a webhook, or given up (dead_ms). seq is the event's; the node that saw the
-- event delivers it.
CREATE TABLE webhook_deliveries (
    webhook    TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    node       TEXT NOT NULL,
    event      TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    due_ms     INTEGER NOT NULL,
    error      TEXT,
    dead_ms    INTEGER,
    PRIMARY KEY (webhook, seq)
) STRICT;
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (webhook, node, seq)
    WHERE dead_ms IS NULL;

-- Rows that retention has taken from the beginning of the audit: the last of them, and its hash, on
-- which the first row that is left stands.
ALTER TABLE audit_head ADD COLUMN pruned_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_head ADD COLUMN pruned_hash TEXT NOT NULL DEFAULT '';
