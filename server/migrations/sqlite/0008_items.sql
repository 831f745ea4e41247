-- Attempts of one instance of a fan_out say which item they are for, also when the task's items are others by now.
ALTER TABLE attempts ADD COLUMN item_key TEXT;
-- The params that a job was created with, if it was resumed with others: what was made of them then must not change.
ALTER TABLE jobs ADD COLUMN created_params TEXT;
CREATE INDEX jobs_by_rerun ON jobs (rerun_of) WHERE rerun_of IS NOT NULL;
-- What a task had left in the job that this one runs again; its artifacts stand under the number 2^31 + task.
CREATE TABLE adopted_tasks (
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    task       INTEGER NOT NULL,
    source_job TEXT NOT NULL,
    outputs    TEXT NOT NULL,
    PRIMARY KEY (job_id, task)
) STRICT, WITHOUT ROWID;
