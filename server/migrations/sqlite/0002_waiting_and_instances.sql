-- Attempts that wait for something outside of every ant, attempts of one instance of a fan_out, and jobs made by jobs.

CREATE TABLE attempts_new (
    job_id        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    task          INTEGER NOT NULL,
    instance      INTEGER, -- of a fan_out, from 0
    visit         INTEGER NOT NULL,
    task_attempt  INTEGER NOT NULL,
    job_attempt   INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('READY','LEASED','RUNNING','WAITING','FINISHED')),
    reason        TEXT, -- what it waits for
    token         INTEGER, -- fencing token of the current lease
    ant           TEXT,
    isolation     TEXT,
    result        TEXT,
    exit_code     INTEGER,
    error_code    TEXT,
    error_message TEXT,
    routed_from   TEXT NOT NULL DEFAULT '[]',
    outputs       TEXT NOT NULL DEFAULT '{}',
    warnings      TEXT NOT NULL DEFAULT '[]',
    log_bytes     INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    PRIMARY KEY (job_id, number),
    CHECK ((result IS NOT NULL) = (state = 'FINISHED'))
) STRICT, WITHOUT ROWID;

INSERT INTO attempts_new (job_id, number, task, visit, task_attempt, job_attempt, state, token, ant, isolation, result,
    exit_code, error_code, error_message, routed_from, outputs, warnings, log_bytes, created_at, started_at, finished_at)
SELECT job_id, number, task, visit, task_attempt, job_attempt, state, token, ant, isolation, result,
    exit_code, error_code, error_message, routed_from, outputs, warnings, log_bytes, created_at, started_at, finished_at
FROM attempts;
DROP TABLE attempts;
ALTER TABLE attempts_new RENAME TO attempts;

-- The instances of a fan_out task's latest visit.
CREATE TABLE task_instances (
    job_id        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task          INTEGER NOT NULL,
    instance      INTEGER NOT NULL, -- from 0
    visit         INTEGER NOT NULL,
    item_key      TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('PENDING','READY','LEASED','RUNNING','WAITING','COMPLETED','FAILED','CANCELLED')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_attempt  INTEGER,
    result        TEXT,
    exit_code     INTEGER,
    error_code    TEXT,
    error_message TEXT,
    PRIMARY KEY (job_id, task, instance)
) STRICT, WITHOUT ROWID;

-- The job and attempt that made this one (FORK_JOB, SUBMIT_JOBS); only a forked one is cancelled with its parent.
ALTER TABLE jobs ADD COLUMN parent_job TEXT;
ALTER TABLE jobs ADD COLUMN parent_attempt INTEGER;
ALTER TABLE jobs ADD COLUMN forked INTEGER NOT NULL DEFAULT 0 CHECK (forked IN (0, 1));
-- How many forks lie above it.
ALTER TABLE jobs ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
-- The job that this one runs again with other params or another version.
ALTER TABLE jobs ADD COLUMN rerun_of TEXT;
-- The rendered `concurrency.key`.
ALTER TABLE jobs ADD COLUMN concurrency_key TEXT;
CREATE INDEX jobs_by_parent ON jobs (parent_job, parent_attempt) WHERE parent_job IS NOT NULL;
