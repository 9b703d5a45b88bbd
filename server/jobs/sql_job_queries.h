#ifndef TOPIARY_SERVER_JOBS_SQL_JOB_QUERIES_H_
#define TOPIARY_SERVER_JOBS_SQL_JOB_QUERIES_H_

// The SQL about jobs. Plain enough for SQLite and PostgreSQL alike: parameters are $1, $2, ...,
// booleans are 0 and 1, and states are written as literals (1 QUEUED, 2 RUNNING, 3 and up: ended)
// so that partial indexes apply. The schema is in schema/.
namespace topiary {
namespace sql {

// Columns of a whole job, in the order in which sqlite_job_tables.cc decodes them.
#define TOPIARY_JOB_COLUMNS                                                                     \
  "jobs.project, jobs.id, uid, request_id, request_digest, state, reason, stop, failure_code, " \
  "failure_message, spec_digest, priority, device, threads, memory_bytes, bfloat16, "           \
  "max_attempts, initial_backoff, maximum_backoff, deadline, keep_checkpoints, create_time, "   \
  "update_time, queue_time, eligible_time, start_time, end_time, last_attempt, "                \
  "attempts_spent, bit_exact, lease_worker, lease_token, lease_expires, lease_bit_exact, "      \
  "has_key, key_onednn, key_isa, key_threads, key_plan, progress, last_sequence, "              \
  "progress_events, last_progress_event, spec, result, parent, children"
#define TOPIARY_SELECT_JOB                                            \
  "SELECT " TOPIARY_JOB_COLUMNS                                       \
  " FROM jobs JOIN job_content ON job_content.project = jobs.project" \
  " AND job_content.job = jobs.id "

inline constexpr char kFindJob[] = TOPIARY_SELECT_JOB "WHERE jobs.project = $1 AND jobs.id = $2";

inline constexpr char kFindRequest[] =
    TOPIARY_SELECT_JOB "WHERE jobs.project = $1 AND request_id = $2 AND request_id <> ''";

inline constexpr char kListHeld[] = TOPIARY_SELECT_JOB
    "WHERE lease_worker = $1 AND state = 2 AND children = 0"
    " ORDER BY jobs.project, jobs.id";

inline constexpr char kListChildren[] =
    TOPIARY_SELECT_JOB "WHERE jobs.project = $1 AND parent = $2 AND parent <> '' ORDER BY jobs.id";

// Begins a list; conditions on parent and labels, and kListJobsEnd, follow. $4 has bit `state` set
// for each state wanted.
inline constexpr char kListJobsBegin[] = TOPIARY_SELECT_JOB
    "WHERE jobs.project = $1 AND (create_time < $2 OR (create_time = $2 AND jobs.id > $3))"
    " AND ($4 & (1 << state)) <> 0";
inline constexpr char kListJobsChildren[] = " AND parent = $6 AND parent <> ''";
inline constexpr char kListJobsNoChildren[] = " AND parent = ''";
// %1$d and %2$d: parameter numbers of name and value.
inline constexpr char kListJobsLabel[] =
    " AND EXISTS (SELECT 1 FROM job_labels WHERE job_labels.project = jobs.project"
    " AND job_labels.job = jobs.id AND name = $%1$d AND value = $%2$d)";
inline constexpr char kListJobsEnd[] = " ORDER BY create_time DESC, jobs.id LIMIT $5";

#undef TOPIARY_SELECT_JOB
#undef TOPIARY_JOB_COLUMNS

inline constexpr char kInsertJob[] =
    "INSERT INTO jobs (project, id, uid, request_id, request_digest, spec_digest, priority, device,"
    " threads, memory_bytes, bfloat16, max_attempts, initial_backoff, maximum_backoff, deadline,"
    " keep_checkpoints, create_time, parent, children, state, reason, stop, failure_code, "
    "failure_message,"
    " update_time, queue_time, eligible_time, start_time, end_time, last_attempt, attempts_spent,"
    " bit_exact, lease_worker, lease_token, lease_expires, lease_bit_exact, has_key, key_onednn,"
    " key_isa, key_threads, key_plan, progress, last_sequence, progress_events,"
    " last_progress_event) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
    " $15, $16, $17, $18, $19, 1, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 1, '', '', 0, 1, 0, '', '', 0, "
    "'', '', 0,"
    " 0, 0)";

// What a transition may change.
inline constexpr char kUpdateJob[] =
    "UPDATE jobs SET state = $3, reason = $4, stop = $5, failure_code = $6, failure_message = $7,"
    " update_time = $8, queue_time = $9, eligible_time = $10, start_time = $11, end_time = $12,"
    " last_attempt = $13, attempts_spent = $14, bit_exact = $15, lease_worker = $16,"
    " lease_token = $17, lease_expires = $18, lease_bit_exact = $19, has_key = $20,"
    " key_onednn = $21, key_isa = $22, key_threads = $23, key_plan = $24, progress = $25,"
    " last_sequence = $26, progress_events = $27, last_progress_event = $28"
    " WHERE project = $1 AND id = $2";

inline constexpr char kDeleteJob[] = "DELETE FROM jobs WHERE project = $1 AND id = $2";

inline constexpr char kInsertContent[] =
    "INSERT INTO job_content (project, job, spec, result) VALUES ($1, $2, $3, '')";
inline constexpr char kUpdateResult[] =
    "UPDATE job_content SET result = $3 WHERE project = $1 AND job = $2";

inline constexpr char kInsertLabel[] =
    "INSERT INTO job_labels (project, job, name, value) VALUES ($1, $2, $3, $4)";
inline constexpr char kListLabels[] =
    "SELECT name, value FROM job_labels WHERE project = $1 AND job = $2";

inline constexpr char kInsertJobArtifact[] =
    "INSERT INTO job_artifacts (project, job, direction, position, digest, role)"
    " VALUES ($1, $2, $3, $4, $5, $6)";
inline constexpr char kDeleteJobArtifacts[] =
    "DELETE FROM job_artifacts WHERE project = $1 AND job = $2 AND direction = $3";
inline constexpr char kListJobArtifacts[] =
    "SELECT direction, digest, role FROM job_artifacts WHERE project = $1 AND job = $2"
    " ORDER BY direction, position";

inline constexpr char kInsertCheckpoint[] =
    "INSERT INTO job_checkpoints (project, job, position, digest, attempt, step, create_time)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)";
inline constexpr char kDeleteCheckpoints[] =
    "DELETE FROM job_checkpoints WHERE project = $1 AND job = $2";
inline constexpr char kListCheckpoints[] =
    "SELECT digest, attempt, step, create_time FROM job_checkpoints"
    " WHERE project = $1 AND job = $2 ORDER BY position";

inline constexpr char kPutAttempt[] =
    "INSERT INTO job_attempts (project, job, number, worker, token, state, bit_exact, start_time,"
    " end_time, failure_code, failure_message)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    " ON CONFLICT (project, job, number) DO UPDATE SET state = excluded.state,"
    " end_time = excluded.end_time, failure_code = excluded.failure_code,"
    " failure_message = excluded.failure_message";
inline constexpr char kListAttempts[] =
    "SELECT number, worker, token, state, bit_exact, start_time, end_time, failure_code,"
    " failure_message FROM job_attempts WHERE project = $1 AND job = $2 ORDER BY number";

inline constexpr char kInsertEvent[] =
    "INSERT INTO job_events (project, job, sequence, time, kind, state, reason, attempt, worker,"
    " failure_code, failure_message, progress, children_ended, children)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
inline constexpr char kListEvents[] =
    "SELECT sequence, time, kind, state, reason, attempt, worker, failure_code, failure_message,"
    " progress, children_ended, children FROM job_events WHERE project = $1 AND job = $2 AND "
    "sequence > $3"
    " ORDER BY sequence LIMIT $4";
// Kind 2 is progress.
inline constexpr char kThinProgress[] =
    "DELETE FROM job_events WHERE project = $1 AND job = $2 AND sequence IN ("
    "SELECT sequence FROM (SELECT sequence, ROW_NUMBER() OVER (ORDER BY sequence) AS place"
    " FROM job_events WHERE project = $1 AND job = $2 AND kind = 2) AS numbered"
    " WHERE place % 2 = 1)";
inline constexpr char kCountProgress[] =
    "SELECT COUNT(*) FROM job_events WHERE project = $1 AND job = $2 AND kind = 2";

inline constexpr char kCountLive[] =
    "SELECT COUNT(*) FROM jobs WHERE state IN (1, 2) AND project = $1";
inline constexpr char kCountByState[] = "SELECT state, COUNT(*) FROM jobs GROUP BY state";
inline constexpr char kListExpired[] =
    "SELECT project, id FROM jobs WHERE state = 2 AND children = 0 AND lease_expires < $1"
    " ORDER BY lease_expires LIMIT $2";
inline constexpr char kListOverdue[] =
    "SELECT project, id FROM jobs WHERE stop = 0 AND state < 3 AND children = 0 AND deadline <= $1"
    " ORDER BY deadline LIMIT $2";

inline constexpr char kCountChildren[] =
    "SELECT state, COUNT(*) FROM jobs WHERE project = $1 AND parent = $2 AND parent <> ''"
    " GROUP BY state";
inline constexpr char kListEndedSweeps[] =
    "SELECT project, id FROM jobs WHERE children > 0 AND state < 3 AND NOT EXISTS ("
    "SELECT 1 FROM jobs AS child WHERE child.project = jobs.project AND child.parent = jobs.id"
    " AND child.parent <> '' AND child.state < 3) ORDER BY project, id LIMIT $1";

// The best $2 of each kind of demand. Sweeps are not leased and hold no worker.
inline constexpr char kListQueued[] =
    "SELECT project, id, priority, create_time, queue_time, device, threads, memory_bytes,"
    " bfloat16, has_key, key_onednn, key_isa, key_threads, key_plan, bit_exact FROM ("
    "SELECT jobs.*, ROW_NUMBER() OVER (PARTITION BY project, device, threads, memory_bytes,"
    " bfloat16, has_key, key_onednn, key_isa, key_threads, bit_exact"
    " ORDER BY priority DESC, create_time, id) AS place"
    " FROM jobs WHERE state = 1 AND children = 0 AND eligible_time <= $1) AS numbered WHERE place "
    "<= $2"
    " ORDER BY priority DESC, create_time, id";
inline constexpr char kRunningByProject[] =
    "SELECT project, COUNT(*) FROM jobs WHERE state = 2 AND children = 0 GROUP BY project";
inline constexpr char kNextEligible[] =
    "SELECT MIN(eligible_time) FROM jobs WHERE state = 1 AND eligible_time > $1"
    " HAVING COUNT(*) > 0";

}  // namespace sql
}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQL_JOB_QUERIES_H_
