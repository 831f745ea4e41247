-- What ants were told to do: JSON, compressed with zstd. Secrets are named and not in it.
CREATE TABLE attempt_commands (
    job_id  TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    command BYTEA NOT NULL,
    PRIMARY KEY (job_id, attempt)
);
-- It is compressed already.
ALTER TABLE attempt_commands ALTER COLUMN command SET STORAGE EXTERNAL;
