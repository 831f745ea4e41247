-- Attempts of one instance of a fan_out say which item they are for, also when the task's items are others by now.
ALTER TABLE attempts ADD COLUMN item_key TEXT;
-- The params that a job was created with, if it was resumed with others: what was made of them then must not change.
ALTER TABLE jobs ADD COLUMN created_params TEXT;
CREATE INDEX jobs_by_rerun ON jobs (rerun_of) WHERE rerun_of IS NOT NULL;
