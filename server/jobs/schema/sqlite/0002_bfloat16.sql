-- Whether a job demands a worker with bfloat16; none did before.
ALTER TABLE jobs ADD COLUMN bfloat16 INTEGER NOT NULL DEFAULT 0;
