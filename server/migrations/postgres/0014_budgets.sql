-- What agents may use up together and have used up, and the accounts that they use it of.

-- Each AGENT attempt that was given to an ant: what it may use at most, and what is counted of it when it has ended.
CREATE TABLE agent_spend (
    job_id          TEXT COLLATE "C" NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt         BIGINT NOT NULL,
    account         TEXT COLLATE "C" NOT NULL,
    most_usd        BIGINT, -- millionths of a US dollar; NULL: no limit
    most_tokens     BIGINT,
    most_turns      BIGINT,
    most_ms         BIGINT,
    bounds          TEXT COLLATE "C" NOT NULL, -- which budgets made these what they are
    day             BIGINT, -- days since 1970, UTC, of its end; NULL while it has not ended
    counted_usd     BIGINT, -- what it used, or what was reserved where that is not known
    counted_tokens  BIGINT,
    counted_turns   BIGINT,
    counted_ms      BIGINT,
    unknown_usd     BIGINT NOT NULL DEFAULT 0, -- 1: nobody knows
    unknown_tokens  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, attempt)
);

-- Sums of a day, which outlive the jobs.
CREATE TABLE spend_days (
    day      BIGINT NOT NULL,
    job_type TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    usd      BIGINT NOT NULL,
    tokens   BIGINT NOT NULL,
    turns    BIGINT NOT NULL,
    ms       BIGINT NOT NULL,
    unknown  BIGINT NOT NULL, -- attempts whose cost nobody knows
    PRIMARY KEY (day, job_type)
);

-- The limits of a job, as it began or as somebody changed them.
CREATE TABLE job_budgets (
    job_id  TEXT COLLATE "C" PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    usd     BIGINT,
    tokens  BIGINT,
    turns   BIGINT,
    ms      BIGINT
);

-- Accounts whose limit was met.
CREATE TABLE accounts (
    name         TEXT COLLATE "C" PRIMARY KEY,
    parked_until BIGINT, -- NULL: it can be used
    reason       TEXT COLLATE "C" NOT NULL,
    limited_at   BIGINT NOT NULL, -- when its limit was met last
    strikes      BIGINT NOT NULL -- how often in a row nobody said until when
);
