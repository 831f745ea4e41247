-- Jobs that jobs made, and definitions that wait for the ends of others.

-- What of its parent a job comes from (an item of SUBMIT_JOBS, a trigger), so that it is made once.
ALTER TABLE jobs ADD COLUMN origin_key TEXT;
CREATE UNIQUE INDEX jobs_by_origin ON jobs (parent_job, origin_key) WHERE origin_key IS NOT NULL;
-- The description was given with the job and is not the definition's.
ALTER TABLE jobs ADD COLUMN description_given INTEGER NOT NULL DEFAULT 0 CHECK (description_given IN (0, 1));
-- The definitions whose jobs trigger the newest version: a JSON array of names.
ALTER TABLE definitions ADD COLUMN watches TEXT NOT NULL DEFAULT '[]';
