-- The labels of definitions, by version: those of a job are the ones of its version. Of versions that an earlier program
-- stored they are read once, from the text, when the server starts.
CREATE TABLE version_labels (
    job_type TEXT NOT NULL,
    version  TEXT NOT NULL,
    position INTEGER NOT NULL, -- in the definition, from 0; names may be of any length
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (job_type, version, position),
    FOREIGN KEY (job_type, version) REFERENCES definition_versions (job_type, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_labels_by_name ON version_labels (name);

-- Jobs in the order of their ends: with the id, which tells those of one instant apart.
DROP INDEX jobs_by_end;
CREATE INDEX jobs_by_end ON jobs (state, finished_at, id) WHERE finished_at IS NOT NULL;
