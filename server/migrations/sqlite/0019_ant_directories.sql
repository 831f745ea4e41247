-- What tells the data directory of the ant's latest process from others; an older ant does not say it.
ALTER TABLE ants ADD COLUMN directory TEXT;
