-- What is known of the attempts of AGENT tasks. What a program did not say is absent, never 0.
CREATE TABLE agent_attempts (
    job_id             TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt            BIGINT NOT NULL,
    cli                TEXT COLLATE "C" NOT NULL, -- of its last run
    model              TEXT COLLATE "C", -- the one that answered last, or that was ordered
    class              TEXT COLLATE "C",
    message            TEXT COLLATE "C" NOT NULL,
    session_cli        TEXT COLLATE "C",
    session_id         TEXT COLLATE "C",
    turns              BIGINT NOT NULL,
    input_tokens       BIGINT,
    output_tokens      BIGINT,
    cache_read_tokens  BIGINT,
    cache_write_tokens BIGINT,
    cost_micros        BIGINT, -- millionths of a US dollar
    cost_source        TEXT COLLATE "C", -- reported, priced:YYYY-MM-DD, mixed
    limit_resets_at    BIGINT, -- when an account whose limit was met can be used again
    record             TEXT COLLATE "C" NOT NULL, -- all of it, JSON
    PRIMARY KEY (job_id, attempt)
);
