-- Sweeps: jobs that other jobs are children of. parent is the id of the sweep, in the same project;
-- children is how many a sweep was created with. No job was either before.
ALTER TABLE jobs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_parent ON jobs (project, parent, state) WHERE parent <> '';
CREATE INDEX sweeps_that_live ON jobs (project, id) WHERE children > 0 AND state < 3;

-- Of a sweep's event of kind 3.
ALTER TABLE job_events ADD COLUMN children_ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job_events ADD COLUMN children INTEGER NOT NULL DEFAULT 0;
