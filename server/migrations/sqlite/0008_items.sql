-- Attempts of one instance of a fan_out say which item they are for, also when the task's items are others by now.
ALTER TABLE attempts ADD COLUMN item_key TEXT;
