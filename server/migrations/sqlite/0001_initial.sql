-- Instants are Unix milliseconds; booleans 0/1; JSON is TEXT. States are the names of the API.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE definitions (
    job_type       TEXT PRIMARY KEY,
    latest_version TEXT NOT NULL,
    enabled        INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    degraded       TEXT,
    next_fire_at   INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE definition_versions (
    job_type   TEXT NOT NULL REFERENCES definitions (job_type) DEFERRABLE INITIALLY DEFERRED,
    version    TEXT NOT NULL, -- content hash: the first 16 hex digits of BLAKE3(source)
    semver     TEXT,
    source     TEXT NOT NULL,
    warnings   TEXT NOT NULL DEFAULT '[]',
    created_at INTEGER NOT NULL,
    PRIMARY KEY (job_type, version)
) STRICT;

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    job_type      TEXT NOT NULL,
    version       TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('PENDING','RUNNING','WAITING','PAUSED','CANCELLING','COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')),
    reason        TEXT,
    error_code    TEXT,
    error_message TEXT,
    priority      INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3), -- 0 is CRITICAL
    user_key      TEXT,
    params        TEXT NOT NULL,
    description   TEXT,
    submitted_by  TEXT NOT NULL,
    tick          INTEGER, -- the schedule's tick that made this job
    attempt       INTEGER NOT NULL DEFAULT 1,
    nonce         TEXT,
    created_at    INTEGER NOT NULL,
    scheduled_at  INTEGER,
    started_at    INTEGER,
    finished_at   INTEGER,
    FOREIGN KEY (job_type, version) REFERENCES definition_versions (job_type, version),
    CHECK ((finished_at IS NOT NULL) = (state IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')))
) STRICT;

-- One live job per key, by the database and not by a check before.
CREATE UNIQUE INDEX jobs_live_user_key ON jobs (user_key)
    WHERE user_key IS NOT NULL AND state NOT IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED');
-- One job per tick of a definition.
CREATE UNIQUE INDEX jobs_tick ON jobs (job_type, tick) WHERE tick IS NOT NULL;
CREATE INDEX jobs_live ON jobs (job_type, state)
    WHERE state NOT IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED');
CREATE INDEX jobs_by_type_state ON jobs (job_type, state);

-- A task has a row from its first transition on; one without a row is PENDING.
CREATE TABLE tasks (
    job_id        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task          INTEGER NOT NULL, -- index in the definition
    name          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('PENDING','READY','LEASED','RUNNING','WAITING','COMPLETED','FAILED','SKIPPED','CANCELLED')),
    visits        INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    last_attempt  INTEGER, -- number of the latest attempt
    result        TEXT,
    exit_code     INTEGER,
    error_code    TEXT,
    error_message TEXT,
    skip_reason   TEXT CHECK (skip_reason IN ('when','upstream_failed','not_reached')),
    route         TEXT,
    first_started_at INTEGER,
    started_at    INTEGER,
    finished_at   INTEGER,
    PRIMARY KEY (job_id, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    job_id        TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    task          INTEGER NOT NULL,
    visit         INTEGER NOT NULL,
    task_attempt  INTEGER NOT NULL,
    job_attempt   INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('READY','LEASED','RUNNING','FINISHED')),
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

CREATE TABLE artifacts (
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    path       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    executable INTEGER NOT NULL CHECK (executable IN (0, 1)),
    PRIMARY KEY (job_id, attempt, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_by_digest ON artifacts (digest);

-- History: what the engine was told (`event`, replayed on recovery) and what it decided (`effects`).
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    entropy  INTEGER NOT NULL, -- the 64 bits, as a signed integer
    event    TEXT NOT NULL,
    effects  TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events (job_id, sequence);

CREATE TABLE timers (
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    timer  TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, timer)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due_at);

CREATE TABLE idempotency_keys (
    key          TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    status       INTEGER NOT NULL,
    response     TEXT NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
