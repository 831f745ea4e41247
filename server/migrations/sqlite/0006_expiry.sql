-- How long things are kept: artifacts that expire on their own, jobs that are removed some time after their end.

ALTER TABLE artifacts ADD COLUMN group_name TEXT;
ALTER TABLE artifacts ADD COLUMN expires_at INTEGER;
-- When it expired: the row stays, the content goes.
ALTER TABLE artifacts ADD COLUMN expired_at INTEGER;
CREATE INDEX artifacts_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL AND expired_at IS NULL;

-- What the definition says; without it the server's own rule counts from finished_at.
ALTER TABLE jobs ADD COLUMN expires_at INTEGER;
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;

-- Files that no row may need any more: removed after the transaction that wrote this, and then forgotten.
CREATE TABLE garbage (
    kind TEXT NOT NULL CHECK (kind IN ('artifact', 'log')),
    name TEXT NOT NULL, -- a digest; an attempt's id
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
