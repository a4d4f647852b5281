-- Who watches an agent is asked whenever calls begin.

CREATE INDEX watchlist_by_agent ON watchlist (organisation, extension, user_name);
