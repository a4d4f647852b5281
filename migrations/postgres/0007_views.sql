-- For those who ask in SQL: what the reports of the API add up. Times are milliseconds since 1970 in
-- UTC; what goes on has no end yet.

CREATE VIEW supervision_sessions AS
SELECT s.id AS session, s.organisation, s.supervisor, s.call, c.agent, c.pool,
       s.started_ms, s.ended_ms, s.cause
FROM sessions s LEFT JOIN calls c ON c.id = s.call;

-- The roles of a session, one after another: each holds until the next one, or to the end.
CREATE VIEW supervision_roles AS
SELECT a.session, v.organisation, v.supervisor, v.call, v.agent, v.pool, a.role_after AS role,
       a.at_ms AS from_ms,
       COALESCE(LEAD(a.at_ms) OVER (PARTITION BY a.session ORDER BY a.seq), v.ended_ms) AS until_ms
FROM audit a JOIN supervision_sessions v ON v.session = a.session
WHERE a.role_after IS NOT NULL AND a.outcome = 'done';

-- How long requests for help waited for a supervisor.
CREATE VIEW help_responses AS
SELECT h.id AS help_request, h.organisation, h.call, h.agent, c.pool, h.state,
       h.provided_by AS supervisor, h.requested_ms, h.accepted_ms,
       h.accepted_ms - h.requested_ms AS response_ms
FROM help_requests h LEFT JOIN calls c ON c.id = h.call;
