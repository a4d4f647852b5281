-- The pool of a call: the one that routed it; for a call that none routed the pool of its agent,
-- where the agent is in one alone. The reports of the API add up by it, and so do the views.

CREATE VIEW call_pools AS
SELECT c.id AS call,
       COALESCE(c.pool,
                (SELECT MIN(p.pool) FROM agent_pools p
                 WHERE p.organisation = c.organisation AND p.extension = c.agent
                 GROUP BY p.extension HAVING COUNT(*) = 1)) AS pool
FROM calls c;

DROP VIEW help_responses;
DROP VIEW supervision_roles;
DROP VIEW supervision_sessions;

CREATE VIEW supervision_sessions AS
SELECT s.id AS session, s.organisation, s.supervisor, s.call, c.agent, k.pool,
       s.started_ms, s.ended_ms, s.cause
FROM sessions s LEFT JOIN calls c ON c.id = s.call LEFT JOIN call_pools k ON k.call = s.call;

-- The roles of a session, one after another: each holds until the next one, or to the end.
CREATE VIEW supervision_roles AS
SELECT a.session, v.organisation, v.supervisor, v.call, v.agent, v.pool, a.role_after AS role,
       a.at_ms AS from_ms,
       COALESCE(LEAD(a.at_ms) OVER (PARTITION BY a.session ORDER BY a.seq), v.ended_ms) AS until_ms
FROM audit a JOIN supervision_sessions v ON v.session = a.session
WHERE a.role_after IS NOT NULL AND a.outcome = 'done';

-- How long requests for help waited for a supervisor.
CREATE VIEW help_responses AS
SELECT h.id AS help_request, h.organisation, h.call, h.agent, k.pool, h.state,
       h.provided_by AS supervisor, h.requested_ms, h.accepted_ms,
       h.accepted_ms - h.requested_ms AS response_ms
FROM help_requests h LEFT JOIN call_pools k ON k.call = h.call;
