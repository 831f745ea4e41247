-- What ants were told to do: JSON, compressed with zstd. Secrets are named and not in it.
CREATE TABLE attempt_commands (
    job_id  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    command BLOB NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;
