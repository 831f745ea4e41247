-- API tokens. Their values are random and long, so that a plain hash of one says nothing about it.
CREATE TABLE tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE, -- BLAKE3 of the value, in hex
    role         TEXT NOT NULL,
    user_name    TEXT NOT NULL,
    ant          TEXT,
    tags         TEXT, -- JSON; NULL: any
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- Changes that were made with a token.
CREATE TABLE audit (
    sequence   INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    user_name  TEXT NOT NULL,
    token      TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    status     INTEGER NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
