-- All tables as of version 9 of the schema: PostgreSQL begins here. Types and defaults: instants are Unix milliseconds, JSON
-- is text, fencing tokens and entropy are 64 bits as a signed number. Texts are compared byte by byte, as SQLite does; where one of any
-- length is to be unique, its digest is indexed, because an entry of an index is at most a third of a page.

CREATE TABLE meta (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE definitions (
    job_type       TEXT COLLATE "C" PRIMARY KEY,
    latest_version TEXT COLLATE "C" NOT NULL,
    enabled        BOOLEAN NOT NULL DEFAULT true,
    degraded       TEXT COLLATE "C",
    next_fire_at   BIGINT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    watches TEXT COLLATE "C" NOT NULL DEFAULT '[]'
);

CREATE TABLE definition_versions (
    job_type   TEXT COLLATE "C" NOT NULL REFERENCES definitions (job_type) DEFERRABLE INITIALLY DEFERRED,
    version    TEXT COLLATE "C" NOT NULL, -- content hash: the first 16 hex digits of BLAKE3(source)
    semver     TEXT COLLATE "C",
    source     TEXT COLLATE "C" NOT NULL,
    warnings   TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    created_at BIGINT NOT NULL,
    PRIMARY KEY (job_type, version)
);

CREATE TABLE jobs (
    id            TEXT COLLATE "C" PRIMARY KEY,
    job_type      TEXT COLLATE "C" NOT NULL,
    version       TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('PENDING','RUNNING','WAITING','PAUSED','CANCELLING','COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')),
    reason        TEXT COLLATE "C",
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    priority      BIGINT NOT NULL CHECK (priority BETWEEN 0 AND 3), -- 0 is CRITICAL
    user_key      TEXT COLLATE "C",
    params        TEXT COLLATE "C" NOT NULL,
    description   TEXT COLLATE "C",
    submitted_by  TEXT COLLATE "C" NOT NULL,
    tick          BIGINT, -- the schedule's tick that made this job
    attempt       BIGINT NOT NULL DEFAULT 1,
    nonce         TEXT COLLATE "C",
    created_at    BIGINT NOT NULL,
    scheduled_at  BIGINT,
    started_at    BIGINT,
    finished_at   BIGINT,
    parent_job TEXT COLLATE "C",
    parent_attempt BIGINT,
    forked BOOLEAN NOT NULL DEFAULT false,
    depth BIGINT NOT NULL DEFAULT 0,
    rerun_of TEXT COLLATE "C",
    concurrency_key TEXT COLLATE "C",
    expires_at BIGINT,
    created_params TEXT COLLATE "C",
    origin_key TEXT COLLATE "C",
    description_given BOOLEAN NOT NULL DEFAULT false,
    FOREIGN KEY (job_type, version) REFERENCES definition_versions (job_type, version),
    CHECK ((finished_at IS NOT NULL) = (state IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED')))
);
CREATE UNIQUE INDEX jobs_live_user_key ON jobs (md5(user_key))
    WHERE user_key IS NOT NULL AND state NOT IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED');
CREATE UNIQUE INDEX jobs_tick ON jobs (job_type, tick) WHERE tick IS NOT NULL;
CREATE INDEX jobs_live ON jobs (job_type, state)
    WHERE state NOT IN ('COMPLETED','FAILED','BLOCKED','CANCELLED','SKIPPED');
CREATE INDEX jobs_by_type_state ON jobs (job_type, state);
CREATE INDEX jobs_by_parent ON jobs (parent_job, parent_attempt) WHERE parent_job IS NOT NULL;
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_rerun ON jobs (rerun_of) WHERE rerun_of IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_origin ON jobs (parent_job, md5(origin_key)) WHERE origin_key IS NOT NULL;

CREATE TABLE tasks (
    job_id        TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task          BIGINT NOT NULL, -- index in the definition
    name          TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('PENDING','READY','LEASED','RUNNING','WAITING','COMPLETED','FAILED','SKIPPED','CANCELLED')),
    visits        BIGINT NOT NULL DEFAULT 0,
    attempts      BIGINT NOT NULL DEFAULT 0,
    last_attempt  BIGINT, -- number of the latest attempt
    result        TEXT COLLATE "C",
    exit_code     BIGINT,
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    skip_reason   TEXT COLLATE "C" CHECK (skip_reason IN ('when','upstream_failed','not_reached')),
    route         TEXT COLLATE "C",
    first_started_at BIGINT,
    started_at    BIGINT,
    finished_at   BIGINT,
    PRIMARY KEY (job_id, task)
);

CREATE TABLE attempts (
    job_id        TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number        BIGINT NOT NULL,
    task          BIGINT NOT NULL,
    instance      BIGINT, -- of a fan_out, from 0
    visit         BIGINT NOT NULL,
    task_attempt  BIGINT NOT NULL,
    job_attempt   BIGINT NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('READY','LEASED','RUNNING','WAITING','FINISHED')),
    reason        TEXT COLLATE "C", -- what it waits for
    token         BIGINT, -- fencing token of the current lease
    ant           TEXT COLLATE "C",
    isolation     TEXT COLLATE "C",
    result        TEXT COLLATE "C",
    exit_code     BIGINT,
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    routed_from   TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    outputs       TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    warnings      TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    log_bytes     BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    started_at    BIGINT,
    finished_at   BIGINT,
    item_key TEXT COLLATE "C",
    PRIMARY KEY (job_id, number),
    CHECK ((result IS NOT NULL) = (state = 'FINISHED'))
);

CREATE TABLE task_instances (
    job_id        TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task          BIGINT NOT NULL,
    instance      BIGINT NOT NULL, -- from 0
    visit         BIGINT NOT NULL,
    item_key      TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('PENDING','READY','LEASED','RUNNING','WAITING','COMPLETED','FAILED','CANCELLED')),
    attempts      BIGINT NOT NULL DEFAULT 0,
    last_attempt  BIGINT,
    result        TEXT COLLATE "C",
    exit_code     BIGINT,
    error_code    TEXT COLLATE "C",
    error_message TEXT COLLATE "C",
    PRIMARY KEY (job_id, task, instance)
);

CREATE TABLE artifacts (
    job_id     TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    BIGINT NOT NULL,
    path       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    executable BOOLEAN NOT NULL,
    group_name TEXT COLLATE "C",
    expires_at BIGINT,
    expired_at BIGINT
);
CREATE UNIQUE INDEX artifacts_key ON artifacts (job_id, attempt, md5(path));
CREATE INDEX artifacts_by_digest ON artifacts (digest);
CREATE INDEX artifacts_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL AND expired_at IS NULL;

CREATE TABLE adopted_tasks (
    job_id     TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task       BIGINT NOT NULL,
    source_job TEXT COLLATE "C" NOT NULL,
    outputs    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, task)
);

CREATE TABLE events (
    sequence BIGINT PRIMARY KEY,
    job_id   TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at       BIGINT NOT NULL,
    entropy  BIGINT NOT NULL, -- the 64 bits, as a signed integer
    event    TEXT COLLATE "C" NOT NULL,
    effects  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_by_job ON events (job_id, sequence);

CREATE TABLE timers (
    job_id TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    timer  TEXT COLLATE "C" NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, timer)
);
CREATE INDEX timers_due ON timers (due_at);

CREATE TABLE idempotency_keys (
    key          TEXT COLLATE "C" PRIMARY KEY,
    request_hash TEXT COLLATE "C" NOT NULL,
    status       BIGINT NOT NULL,
    response     TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE configs (
    scope      TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    value      TEXT COLLATE "C", -- JSON; NULL for a secret
    key_id     TEXT COLLATE "C", -- which key a secret is encrypted with
    nonce      BYTEA,
    ciphertext BYTEA,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (scope, name),
    CHECK ((value IS NULL) = (ciphertext IS NOT NULL)),
    CHECK ((key_id IS NOT NULL) = (ciphertext IS NOT NULL) AND (nonce IS NOT NULL) = (ciphertext IS NOT NULL))
);

CREATE TABLE approvals (
    id         TEXT COLLATE "C" PRIMARY KEY,
    job_id     TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    BIGINT NOT NULL,
    task       TEXT COLLATE "C" NOT NULL,
    policy     TEXT COLLATE "C" NOT NULL, -- as it was when it was asked
    message    TEXT COLLATE "C",
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('OPEN','APPROVED','REJECTED','TIMED_OUT','CLOSED')),
    created_at BIGINT NOT NULL,
    deadline   BIGINT,
    decided_at BIGINT,
    UNIQUE (job_id, attempt),
    CHECK ((decided_at IS NULL) = (state = 'OPEN'))
);
CREATE INDEX approvals_open ON approvals (id) WHERE state = 'OPEN';

CREATE TABLE votes (
    approval_id TEXT COLLATE "C" NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    voter       TEXT COLLATE "C" NOT NULL,
    decision    TEXT COLLATE "C" NOT NULL CHECK (decision IN ('approve','reject')),
    comment     TEXT COLLATE "C",
    via         TEXT COLLATE "C" NOT NULL CHECK (via IN ('api','cli','link')),
    at          BIGINT NOT NULL,
    PRIMARY KEY (approval_id, voter)
);

CREATE TABLE outbox (
    id          TEXT COLLATE "C" PRIMARY KEY,
    job_id      TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event       TEXT COLLATE "C" NOT NULL,
    rule        BIGINT NOT NULL, -- which entry of `notify`
    channel     TEXT COLLATE "C" NOT NULL CHECK (channel IN ('webhook','slack','email')),
    recipient   BIGINT NOT NULL DEFAULT 0, -- which of an e-mail's addresses
    voter       TEXT COLLATE "C", -- whose address it is, when it goes to somebody who may vote
    destination TEXT COLLATE "C" NOT NULL, -- as the definition writes it
    content     TEXT COLLATE "C" NOT NULL, -- JSON, without any secret
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('PENDING','SENT','DEAD')),
    attempts    BIGINT NOT NULL DEFAULT 0,
    next_at     BIGINT,
    last_error  TEXT COLLATE "C",
    created_at  BIGINT NOT NULL,
    finished_at BIGINT,
    CHECK ((next_at IS NOT NULL) = (state = 'PENDING'))
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'PENDING';
CREATE INDEX outbox_by_job ON outbox (job_id);

CREATE TABLE deliveries (
    id            TEXT COLLATE "C" PRIMARY KEY, -- dlv_ and a UUIDv7
    job_type      TEXT COLLATE "C" NOT NULL,
    trigger_name  TEXT COLLATE "C" NOT NULL,
    sender_id     TEXT COLLATE "C" NOT NULL, -- the sender's id of the delivery, or the digest of what was signed
    event         TEXT COLLATE "C",
    headers       TEXT COLLATE "C" NOT NULL, -- a JSON object, without credentials
    body          BYTEA NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('submitted','woke','duplicate','filtered','ping','replayed','limited','refused')),
    job_id        TEXT COLLATE "C",
    message       TEXT COLLATE "C",
    redelivery_of TEXT COLLATE "C",
    received_at   BIGINT NOT NULL
);
CREATE INDEX deliveries_by_trigger ON deliveries (job_type, trigger_name, id);
CREATE INDEX deliveries_by_sender ON deliveries (job_type, trigger_name, md5(sender_id));

CREATE TABLE garbage (
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('artifact', 'log')),
    name TEXT COLLATE "C" NOT NULL, -- a digest; an attempt's id
    PRIMARY KEY (kind, name)
);
