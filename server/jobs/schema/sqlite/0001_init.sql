-- Times are microseconds since 1970; enums are the numbers in server/jobs/job.h and artifact.h.

CREATE TABLE jobs (
  project TEXT NOT NULL,
  id TEXT NOT NULL,
  uid TEXT NOT NULL,
  request_id TEXT NOT NULL,
  request_digest TEXT NOT NULL,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  failure_code INTEGER NOT NULL,
  failure_message TEXT NOT NULL,
  spec_digest TEXT NOT NULL,
  priority INTEGER NOT NULL,
  device INTEGER NOT NULL,
  threads INTEGER NOT NULL,
  memory_bytes BIGINT NOT NULL,
  max_attempts INTEGER NOT NULL,
  initial_backoff BIGINT NOT NULL,
  maximum_backoff BIGINT NOT NULL,
  deadline BIGINT NOT NULL,
  keep_checkpoints INTEGER NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  queue_time BIGINT NOT NULL,
  eligible_time BIGINT NOT NULL,
  start_time BIGINT NOT NULL,
  end_time BIGINT NOT NULL,
  last_attempt INTEGER NOT NULL,
  attempts_spent INTEGER NOT NULL,
  bit_exact INTEGER NOT NULL,
  lease_worker TEXT NOT NULL,
  lease_token BLOB NOT NULL,
  lease_expires BIGINT NOT NULL,
  lease_bit_exact INTEGER NOT NULL,
  has_key INTEGER NOT NULL,
  key_onednn TEXT NOT NULL,
  key_isa TEXT NOT NULL,
  key_threads INTEGER NOT NULL,
  key_plan TEXT NOT NULL,
  progress BLOB NOT NULL,
  last_sequence BIGINT NOT NULL,
  progress_events INTEGER NOT NULL,
  last_progress_event BIGINT NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX jobs_by_request ON jobs (project, request_id) WHERE request_id <> '';
CREATE INDEX jobs_by_age ON jobs (project, create_time, id);
CREATE INDEX jobs_by_state ON jobs (state, project);
CREATE INDEX jobs_by_worker ON jobs (lease_worker) WHERE state = 2;
CREATE INDEX jobs_by_expiry ON jobs (lease_expires) WHERE state = 2;
CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE stop = 0 AND state < 3;

-- What is large and does not change with each report, so that a renewal does not rewrite it.
CREATE TABLE job_content (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  spec BLOB NOT NULL,
  result BLOB NOT NULL,
  PRIMARY KEY (project, job),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
);

CREATE TABLE job_labels (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (project, job, name),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
);

-- direction: 1 input, 2 output.
CREATE TABLE job_artifacts (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  direction INTEGER NOT NULL,
  position INTEGER NOT NULL,
  digest TEXT NOT NULL,
  role TEXT NOT NULL,
  PRIMARY KEY (project, job, direction, position),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
);
CREATE INDEX job_artifacts_by_digest ON job_artifacts (project, digest);

-- position 0 is the newest.
CREATE TABLE job_checkpoints (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  position INTEGER NOT NULL,
  digest TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  step BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (project, job, position),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
);
CREATE INDEX job_checkpoints_by_digest ON job_checkpoints (project, digest);

CREATE TABLE job_attempts (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  number INTEGER NOT NULL,
  worker TEXT NOT NULL,
  token BLOB NOT NULL,
  state INTEGER NOT NULL,
  bit_exact INTEGER NOT NULL,
  start_time BIGINT NOT NULL,
  end_time BIGINT NOT NULL,
  failure_code INTEGER NOT NULL,
  failure_message TEXT NOT NULL,
  PRIMARY KEY (project, job, number),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
);

CREATE TABLE job_events (
  project TEXT NOT NULL,
  job TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  time BIGINT NOT NULL,
  kind INTEGER NOT NULL,
  state INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  worker TEXT NOT NULL,
  failure_code INTEGER NOT NULL,
  failure_message TEXT NOT NULL,
  progress BLOB NOT NULL,
  PRIMARY KEY (project, job, sequence),
  FOREIGN KEY (project, job) REFERENCES jobs (project, id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE artifacts (
  project TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  kind INTEGER NOT NULL,
  display_name TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (project, digest)
);
CREATE INDEX artifacts_by_digest ON artifacts (digest);
CREATE INDEX artifacts_by_age ON artifacts (project, create_time, digest);

CREATE TABLE uploads (
  project TEXT NOT NULL,
  id TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  kind INTEGER NOT NULL,
  display_name TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  finished INTEGER NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX uploads_by_id ON uploads (id);
CREATE INDEX uploads_by_digest ON uploads (project, digest, size_bytes);
CREATE INDEX uploads_by_age ON uploads (update_time);
