-- Lists of jobs: newest first, by each filter that may stand alone.

CREATE INDEX jobs_by_creation ON jobs (created_at, id);
CREATE INDEX jobs_by_type ON jobs (job_type, created_at, id);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id);
-- Of keys of any length.
CREATE INDEX jobs_by_user_key ON jobs USING hash (user_key) WHERE user_key IS NOT NULL;
DROP INDEX jobs_by_type_state;
CREATE INDEX jobs_by_type_state ON jobs (job_type, state, created_at, id);
