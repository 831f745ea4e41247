-- What is known of the attempts of AGENT tasks. What a program did not say is absent, never 0.
CREATE TABLE agent_attempts (
    job_id             TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt            INTEGER NOT NULL,
    cli                TEXT NOT NULL, -- of its last run
    model              TEXT, -- the one that answered last, or that was ordered
    class              TEXT,
    message            TEXT NOT NULL,
    session_cli        TEXT,
    session_id         TEXT,
    turns              INTEGER NOT NULL,
    input_tokens       INTEGER,
    output_tokens      INTEGER,
    cache_read_tokens  INTEGER,
    cache_write_tokens INTEGER,
    cost_micros        INTEGER, -- millionths of a US dollar
    cost_source        TEXT, -- reported, priced:YYYY-MM-DD, mixed
    limit_resets_at    INTEGER, -- when an account whose limit was met can be used again
    record             TEXT NOT NULL, -- all of it, JSON
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;
