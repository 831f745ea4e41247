-- Configs of the organisation (scope '') and of a definition (scope = its job_type). A secret's value is stored only
-- encrypted: XChaCha20-Poly1305, bound to scope and name.
CREATE TABLE configs (
    scope      TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      TEXT, -- JSON; NULL for a secret
    key_id     TEXT, -- which key a secret is encrypted with
    nonce      BLOB,
    ciphertext BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, name),
    CHECK ((value IS NULL) = (ciphertext IS NOT NULL)),
    CHECK ((key_id IS NOT NULL) = (ciphertext IS NOT NULL) AND (nonce IS NOT NULL) = (ciphertext IS NOT NULL))
) STRICT, WITHOUT ROWID;
