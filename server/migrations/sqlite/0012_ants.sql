-- The ants that have asked for work. What they hold stands in `attempts`.
CREATE TABLE ants (
    id       TEXT PRIMARY KEY,
    session  INTEGER, -- of its latest process, the 64 bits as a signed integer
    mode     TEXT NOT NULL DEFAULT 'open' CHECK (mode IN ('open','cordoned','draining')),
    since    INTEGER NOT NULL -- when that process was first heard of
) STRICT;
