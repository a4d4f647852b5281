-- The agents that a supervisor wants to be told about.

CREATE TABLE watchlist (
    organisation TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    extension    TEXT NOT NULL,
    PRIMARY KEY (organisation, user_name, extension)
) STRICT;
