-- What jobs with agents, or with an `outcome`, have cost and achieved. These rows are added to with each change of a job, so
-- that nobody has to look through attempts, and they stay when the job is removed. What is not known is absent, never 0.
CREATE TABLE outcomes (
    job_id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    job_type           TEXT COLLATE "C" NOT NULL,
    version            TEXT COLLATE "C" NOT NULL,
    submitted_at       BIGINT NOT NULL,
    started_at         BIGINT NOT NULL,
    finished_at        BIGINT,
    ended              TEXT COLLATE "C", -- the state in which the job ended
    error_code         TEXT COLLATE "C",
    kind               TEXT COLLATE "C", -- what the definition says
    repository         TEXT COLLATE "C",
    url                TEXT COLLATE "C",
    state              TEXT COLLATE "C", -- open, merged, closed, needs_human
    reason             TEXT COLLATE "C",
    note               TEXT COLLATE "C", -- what is wrong with what it says
    opened_at          BIGINT,
    merged_at          BIGINT,
    rework             BIGINT, -- rounds; absent where nothing says what a round is
    attempts           BIGINT NOT NULL, -- of agents
    turns              BIGINT NOT NULL,
    input_tokens       BIGINT NOT NULL, -- as far as they are known
    output_tokens      BIGINT NOT NULL,
    cache_read_tokens  BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    tokens_unknown     BIGINT NOT NULL, -- attempts whose tokens are not known
    cost_micros        BIGINT NOT NULL, -- as far as it is known
    cost_unknown       BIGINT NOT NULL -- attempts whose cost is not known
);
CREATE INDEX outcomes_by_submission ON outcomes (submitted_at);
CREATE INDEX outcomes_by_type ON outcomes (job_type, submitted_at);
CREATE INDEX outcomes_by_repository ON outcomes (repository, submitted_at) WHERE repository IS NOT NULL;

-- The same by program and model; '' where that is not known.
CREATE TABLE outcome_agents (
    job_id             TEXT COLLATE "C" NOT NULL,
    cli                TEXT COLLATE "C" NOT NULL,
    model              TEXT COLLATE "C" NOT NULL,
    attempts           BIGINT NOT NULL,
    turns              BIGINT NOT NULL,
    input_tokens       BIGINT NOT NULL,
    output_tokens      BIGINT NOT NULL,
    cache_read_tokens  BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    tokens_unknown     BIGINT NOT NULL,
    cost_micros        BIGINT NOT NULL,
    cost_unknown       BIGINT NOT NULL,
    PRIMARY KEY (job_id, cli, model)
);

-- Tasks that were tried again.
CREATE TABLE outcome_tasks (
    job_id   TEXT COLLATE "C" NOT NULL,
    task     TEXT COLLATE "C" NOT NULL,
    retries  BIGINT NOT NULL,
    changed  BIGINT NOT NULL, -- retries that succeeded where the attempt before had failed
    PRIMARY KEY (job_id, task)
);
