-- What agents may use up together and have used up, and the accounts that they use it of.

-- Each AGENT attempt that was given to an ant: what it may use at most, and what is counted of it when it has ended.
CREATE TABLE agent_spend (
    job_id          TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt         INTEGER NOT NULL,
    account         TEXT NOT NULL,
    most_usd        INTEGER, -- millionths of a US dollar; NULL: no limit
    most_tokens     INTEGER,
    most_turns      INTEGER,
    most_ms         INTEGER,
    bounds          TEXT NOT NULL, -- which budgets made these what they are
    day             INTEGER, -- days since 1970, UTC, of its end; NULL while it has not ended
    counted_usd     INTEGER, -- what it used, or what was reserved where that is not known
    counted_tokens  INTEGER,
    counted_turns   INTEGER,
    counted_ms      INTEGER,
    unknown_usd     INTEGER NOT NULL DEFAULT 0, -- 1: nobody knows
    unknown_tokens  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;

-- Sums of a day, which outlive the jobs.
CREATE TABLE spend_days (
    day      INTEGER NOT NULL,
    job_type TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    usd      INTEGER NOT NULL,
    tokens   INTEGER NOT NULL,
    turns    INTEGER NOT NULL,
    ms       INTEGER NOT NULL,
    unknown  INTEGER NOT NULL, -- attempts whose cost nobody knows
    PRIMARY KEY (day, job_type)
) STRICT, WITHOUT ROWID;

-- The limits of a job, as it began or as somebody changed them.
CREATE TABLE job_budgets (
    job_id  TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    usd     INTEGER,
    tokens  INTEGER,
    turns   INTEGER,
    ms      INTEGER
) STRICT, WITHOUT ROWID;

-- Accounts whose limit was met.
CREATE TABLE accounts (
    name         TEXT PRIMARY KEY,
    parked_until INTEGER, -- NULL: it can be used
    reason       TEXT NOT NULL,
    limited_at   INTEGER NOT NULL, -- when its limit was met last
    strikes      INTEGER NOT NULL -- how often in a row nobody said until when
) STRICT, WITHOUT ROWID;
