-- Requests that proved to come from where a webhook expects them, and what came of them.
CREATE TABLE deliveries (
    id            TEXT PRIMARY KEY, -- dlv_ and a UUIDv7
    job_type      TEXT NOT NULL,
    trigger_name  TEXT NOT NULL,
    sender_id     TEXT NOT NULL, -- the sender's id of the delivery, or the digest of what was signed
    event         TEXT,
    headers       TEXT NOT NULL, -- a JSON object, without credentials
    body          BLOB NOT NULL,
    outcome       TEXT NOT NULL CHECK (outcome IN ('submitted','woke','duplicate','filtered','ping','replayed','limited','refused')),
    job_id        TEXT,
    message       TEXT,
    redelivery_of TEXT,
    received_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_trigger ON deliveries (job_type, trigger_name, id);
CREATE INDEX deliveries_by_sender ON deliveries (job_type, trigger_name, sender_id);
