-- What was typed into a terminal, why a session of one ended: what the other columns have no place for.
ALTER TABLE audit ADD COLUMN detail TEXT COLLATE "C";
