-- Questions to people, their votes, and what is to be told to somebody.

CREATE TABLE approvals (
    id         TEXT PRIMARY KEY,
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt    INTEGER NOT NULL,
    task       TEXT NOT NULL,
    policy     TEXT NOT NULL, -- as it was when it was asked
    message    TEXT,
    state      TEXT NOT NULL CHECK (state IN ('OPEN','APPROVED','REJECTED','TIMED_OUT','CLOSED')),
    created_at INTEGER NOT NULL,
    deadline   INTEGER,
    decided_at INTEGER,
    UNIQUE (job_id, attempt),
    CHECK ((decided_at IS NULL) = (state = 'OPEN'))
) STRICT;
CREATE INDEX approvals_open ON approvals (id) WHERE state = 'OPEN';

-- One vote per person, by the database and not by a check before.
CREATE TABLE votes (
    approval_id TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    voter       TEXT NOT NULL,
    decision    TEXT NOT NULL CHECK (decision IN ('approve','reject')),
    comment     TEXT,
    via         TEXT NOT NULL CHECK (via IN ('api','cli','link')),
    at          INTEGER NOT NULL,
    PRIMARY KEY (approval_id, voter)
) STRICT, WITHOUT ROWID;

-- Written in the transaction of what it tells of, sent afterwards, as often as it takes.
CREATE TABLE outbox (
    id          TEXT PRIMARY KEY,
    job_id      TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event       TEXT NOT NULL,
    rule        INTEGER NOT NULL, -- which entry of `notify`
    channel     TEXT NOT NULL CHECK (channel IN ('webhook','slack','email')),
    recipient   INTEGER NOT NULL DEFAULT 0, -- which of an e-mail's addresses
    voter       TEXT, -- whose address it is, when it goes to somebody who may vote
    destination TEXT NOT NULL, -- as the definition writes it
    content     TEXT NOT NULL, -- JSON, without any secret
    state       TEXT NOT NULL CHECK (state IN ('PENDING','SENT','DEAD')),
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_at     INTEGER,
    last_error  TEXT,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK ((next_at IS NOT NULL) = (state = 'PENDING'))
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'PENDING';
CREATE INDEX outbox_by_job ON outbox (job_id);
