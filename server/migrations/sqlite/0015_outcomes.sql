-- What jobs with agents, or with an `outcome`, have cost and achieved. These rows are added to with each change of a job, so
-- that nobody has to look through attempts, and they stay when the job is removed. What is not known is absent, never 0.
CREATE TABLE outcomes (
    job_id             TEXT NOT NULL PRIMARY KEY,
    job_type           TEXT NOT NULL,
    version            TEXT NOT NULL,
    submitted_at       INTEGER NOT NULL,
    started_at         INTEGER NOT NULL,
    finished_at        INTEGER,
    ended              TEXT, -- the state in which the job ended
    error_code         TEXT,
    kind               TEXT, -- what the definition says
    repository         TEXT,
    url                TEXT,
    state              TEXT, -- open, merged, closed, needs_human
    reason             TEXT,
    note               TEXT, -- what is wrong with what it says
    opened_at          INTEGER,
    merged_at          INTEGER,
    rework             INTEGER, -- rounds; absent where nothing says what a round is
    attempts           INTEGER NOT NULL, -- of agents
    turns              INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL, -- as far as they are known
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    tokens_unknown     INTEGER NOT NULL, -- attempts whose tokens are not known
    cost_micros        INTEGER NOT NULL, -- as far as it is known
    cost_unknown       INTEGER NOT NULL -- attempts whose cost is not known
) STRICT;
CREATE INDEX outcomes_by_submission ON outcomes (submitted_at);
CREATE INDEX outcomes_by_type ON outcomes (job_type, submitted_at);
CREATE INDEX outcomes_by_repository ON outcomes (repository, submitted_at) WHERE repository IS NOT NULL;

-- The same by program and model; '' where that is not known.
CREATE TABLE outcome_agents (
    job_id             TEXT NOT NULL,
    cli                TEXT NOT NULL,
    model              TEXT NOT NULL,
    attempts           INTEGER NOT NULL,
    turns              INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    tokens_unknown     INTEGER NOT NULL,
    cost_micros        INTEGER NOT NULL,
    cost_unknown       INTEGER NOT NULL,
    PRIMARY KEY (job_id, cli, model)
) STRICT, WITHOUT ROWID;

-- Tasks that were tried again.
CREATE TABLE outcome_tasks (
    job_id   TEXT NOT NULL,
    task     TEXT NOT NULL,
    retries  INTEGER NOT NULL,
    changed  INTEGER NOT NULL, -- retries that succeeded where the attempt before had failed
    PRIMARY KEY (job_id, task)
) STRICT, WITHOUT ROWID;
