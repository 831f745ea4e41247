-- The labels of definitions, by version: those of a job are the ones of its version. Of versions that an earlier program
-- stored they are read once, from the text, when the server starts.
CREATE TABLE version_labels (
    job_type TEXT COLLATE "C" NOT NULL,
    version  TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL, -- in the definition, from 0; names may be of any length
    name     TEXT COLLATE "C" NOT NULL,
    value    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_type, version, position),
    FOREIGN KEY (job_type, version) REFERENCES definition_versions (job_type, version)
);
-- Of names of any length.
CREATE INDEX version_labels_by_name ON version_labels USING hash (name);

-- Jobs in the order of their ends: with the id, which tells those of one instant apart.
DROP INDEX jobs_by_end;
CREATE INDEX jobs_by_end ON jobs (state, finished_at, id) WHERE finished_at IS NOT NULL;
