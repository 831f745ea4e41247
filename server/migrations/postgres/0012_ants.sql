-- The ants that have asked for work. What they hold stands in `attempts`.
CREATE TABLE ants (
    id       TEXT COLLATE "C" PRIMARY KEY,
    session  BIGINT, -- of its latest process, the 64 bits as a signed integer
    mode     TEXT COLLATE "C" NOT NULL DEFAULT 'open' CHECK (mode IN ('open','cordoned','draining')),
    since    BIGINT NOT NULL -- when that process was first heard of
);
