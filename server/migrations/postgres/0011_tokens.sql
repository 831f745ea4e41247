-- API tokens. Their values are random and long, so that a plain hash of one says nothing about it.
CREATE TABLE tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    hash         TEXT COLLATE "C" NOT NULL UNIQUE, -- BLAKE3 of the value, in hex
    role         TEXT COLLATE "C" NOT NULL,
    user_name    TEXT COLLATE "C" NOT NULL,
    ant          TEXT COLLATE "C",
    tags         TEXT COLLATE "C", -- JSON; NULL: any
    created_at   BIGINT NOT NULL,
    created_by   TEXT COLLATE "C" NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

-- Changes that were made with a token.
CREATE TABLE audit (
    sequence   BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    user_name  TEXT COLLATE "C" NOT NULL,
    token      TEXT COLLATE "C" NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    target     TEXT COLLATE "C" NOT NULL,
    status     BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL
);
