// The half of SqliteTables about jobs.

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "server/jobs/sql_job_queries.h"
#include "server/jobs/sqlite_tables.h"

namespace topiary {
namespace {

constexpr int kInput = 1;
constexpr int kOutput = 2;

Failure ReadFailure(const SqlRow& row, int column) {
  return {static_cast<absl::StatusCode>(row.Integer(column)), row.Bytes(column + 1)};
}

void ReadDemand(const SqlRow& row, int column, Placement* placement) {
  placement->device = static_cast<Device>(row.Integer(column));
  placement->threads = static_cast<int>(row.Integer(column + 1));
  placement->memory_bytes = row.Integer(column + 2);
  placement->bfloat16 = row.Boolean(column + 3);
}

std::optional<DeterminismKey> ReadKey(const SqlRow& row, int column) {
  if (!row.Boolean(column)) return std::nullopt;
  return DeterminismKey{row.Bytes(column + 1), row.Bytes(column + 2),
                        static_cast<int>(row.Integer(column + 3)), row.Bytes(column + 4)};
}

// Columns 0 to 21: what is chosen when the job is created, and its state.
void ReadIdentity(const SqlRow& row, Job* job) {
  job->project = row.Bytes(0);
  job->id = row.Bytes(1);
  job->uid = row.Bytes(2);
  job->request_id = row.Bytes(3);
  job->request_digest = row.Bytes(4);
  job->state = static_cast<JobState>(row.Integer(5));
  job->reason = static_cast<JobReason>(row.Integer(6));
  job->stop = static_cast<StopReason>(row.Integer(7));
  job->failure = ReadFailure(row, 8);
  job->spec_digest = row.Bytes(10);
  job->priority = static_cast<int>(row.Integer(11));
  ReadDemand(row, 12, &job->placement);
  job->retry.max_attempts = static_cast<int>(row.Integer(16));
  job->retry.initial_backoff = row.Duration(17);
  job->retry.maximum_backoff = row.Duration(18);
  job->deadline = row.Time(19);
  job->keep_checkpoints = row.Boolean(20);
  job->create_time = row.Time(21);
}

// Columns 22 to 46: how it has fared, and what is large or came later.
void ReadProgress(const SqlRow& row, Job* job) {
  job->update_time = row.Time(22);
  job->queue_time = row.Time(23);
  job->eligible_time = row.Time(24);
  job->start_time = row.Time(25);
  job->end_time = row.Time(26);
  job->last_attempt = static_cast<int>(row.Integer(27));
  job->attempts_spent = static_cast<int>(row.Integer(28));
  job->bit_exact = row.Boolean(29);
  job->parent = row.Bytes(45);
  job->children = static_cast<int>(row.Integer(46));
  if (job->state == JobState::kRunning && !job->is_sweep()) {
    job->lease = Lease{{job->project, job->id, job->last_attempt, row.Bytes(31)},
                       row.Bytes(30),
                       row.Time(32),
                       row.Boolean(33)};
  }
  job->determinism_key = ReadKey(row, 34);
  job->progress = row.Bytes(39);
  job->last_sequence = row.Integer(40);
  job->progress_events = static_cast<int>(row.Integer(41));
  job->last_progress_event = row.Time(42);
  job->spec = row.Bytes(43);
  job->result = row.Bytes(44);
}

Job ReadJob(const SqlRow& row) {
  Job job;
  ReadIdentity(row, &job);
  ReadProgress(row, &job);
  return job;
}

Attempt ReadAttempt(const SqlRow& row) {
  Attempt attempt;
  attempt.number = static_cast<int>(row.Integer(0));
  attempt.worker = row.Bytes(1);
  attempt.token = row.Bytes(2);
  attempt.state = static_cast<AttemptState>(row.Integer(3));
  attempt.bit_exact = row.Boolean(4);
  attempt.start_time = row.Time(5);
  attempt.end_time = row.Time(6);
  attempt.failure = ReadFailure(row, 7);
  return attempt;
}

JobEvent ReadEvent(const SqlRow& row) {
  JobEvent event;
  event.sequence = row.Integer(0);
  event.time = row.Time(1);
  event.kind = static_cast<JobEvent::Kind>(row.Integer(2));
  event.state = static_cast<JobState>(row.Integer(3));
  event.reason = static_cast<JobReason>(row.Integer(4));
  event.attempt = static_cast<int>(row.Integer(5));
  event.worker = row.Bytes(6);
  event.failure = ReadFailure(row, 7);
  event.progress = row.Bytes(9);
  event.children_ended = static_cast<int>(row.Integer(10));
  event.children = static_cast<int>(row.Integer(11));
  return event;
}

QueuedJob ReadQueued(const SqlRow& row) {
  QueuedJob queued;
  queued.name = {row.Bytes(0), row.Bytes(1)};
  queued.priority = static_cast<int>(row.Integer(2));
  queued.create_time = row.Time(3);
  queued.queue_time = row.Time(4);
  ReadDemand(row, 5, &queued.placement);
  queued.determinism_key = ReadKey(row, 9);
  queued.bit_exact = row.Boolean(14);
  return queued;
}

template <typename Enum>
int Number(Enum value) {
  return static_cast<int>(value);
}

}  // namespace

absl::Status SqliteTables::CountChildren(Job* job) {
  if (!job->is_sweep()) return absl::OkStatus();
  std::map<JobState, int> counts;
  RETURN_IF_ERROR(db_->Query(sql::kCountChildren, {job->project, job->id}, [&](const SqlRow& row) {
    counts[static_cast<JobState>(row.Integer(0))] = static_cast<int>(row.Integer(1));
  }));
  job->child_counts = {counts[JobState::kQueued], counts[JobState::kRunning],
                       counts[JobState::kSucceeded], counts[JobState::kFailed],
                       counts[JobState::kCancelled]};
  return absl::OkStatus();
}

absl::Status SqliteTables::LoadParts(Job* job) {
  RETURN_IF_ERROR(CountChildren(job));
  RETURN_IF_ERROR(db_->Query(sql::kListLabels, {job->project, job->id}, [&](const SqlRow& row) {
    job->labels.emplace(row.Bytes(0), row.Bytes(1));
  }));
  RETURN_IF_ERROR(
      db_->Query(sql::kListJobArtifacts, {job->project, job->id}, [&](const SqlRow& row) {
        auto& references = row.Integer(0) == kInput ? job->inputs : job->outputs;
        references.push_back({row.Bytes(1), row.Bytes(2)});
      }));
  return db_->Query(sql::kListCheckpoints, {job->project, job->id}, [&](const SqlRow& row) {
    job->checkpoints.push_back(
        {row.Bytes(0), static_cast<int>(row.Integer(1)), row.Integer(2), row.Time(3)});
  });
}

absl::StatusOr<std::vector<Job>> SqliteTables::QueryJobs(absl::string_view sql,
                                                         absl::Span<const SqlValue> values) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(
      db_->Query(sql, values, [&](const SqlRow& row) { jobs.push_back(ReadJob(row)); }));
  for (Job& job : jobs) RETURN_IF_ERROR(LoadParts(&job));
  return jobs;
}

absl::StatusOr<std::optional<Job>> SqliteTables::FindJob(const JobName& name) {
  ASSIGN_OR_RETURN(std::vector<Job> jobs, QueryJobs(sql::kFindJob, {name.project, name.job}));
  return jobs.empty() ? std::nullopt : std::optional<Job>(std::move(jobs[0]));
}

absl::StatusOr<std::optional<Job>> SqliteTables::FindRequest(const std::string& project,
                                                             const std::string& request_id) {
  ASSIGN_OR_RETURN(std::vector<Job> jobs, QueryJobs(sql::kFindRequest, {project, request_id}));
  return jobs.empty() ? std::nullopt : std::optional<Job>(std::move(jobs[0]));
}

absl::StatusOr<int64_t> SqliteTables::QueryInteger(absl::string_view sql,
                                                   absl::Span<const SqlValue> values) {
  int64_t value = 0;
  RETURN_IF_ERROR(db_->Query(sql, values, [&](const SqlRow& row) { value = row.Integer(0); }));
  return value;
}

absl::StatusOr<int64_t> SqliteTables::CountLive(const std::string& project) {
  return QueryInteger(sql::kCountLive, {project});
}

absl::Status SqliteTables::InsertReferences(const Job& job, int direction,
                                            const std::vector<ArtifactReference>& references) {
  int position = 0;
  for (const ArtifactReference& reference : references) {
    RETURN_IF_ERROR(db_->Execute(
        sql::kInsertJobArtifact,
        {job.project, job.id, direction, position++, reference.digest, reference.role}));
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::InsertJob(const Job& job) {
  RETURN_IF_ERROR(db_->Execute(
      sql::kInsertJob,
      {job.project, job.id, job.uid, job.request_id, job.request_digest, job.spec_digest,
       job.priority, Number(job.placement.device), job.placement.threads,
       job.placement.memory_bytes, job.placement.bfloat16, job.retry.max_attempts,
       job.retry.initial_backoff, job.retry.maximum_backoff, job.deadline, job.keep_checkpoints,
       job.create_time, job.parent, job.children}));
  RETURN_IF_ERROR(
      db_->Execute(sql::kInsertContent, {job.project, job.id, SqlValue::Blob(job.spec)}));
  for (const auto& [name, value] : job.labels) {
    RETURN_IF_ERROR(db_->Execute(sql::kInsertLabel, {job.project, job.id, name, value}));
  }
  RETURN_IF_ERROR(InsertReferences(job, kInput, job.inputs));
  return UpdateJob(job);
}

absl::Status SqliteTables::UpdateJob(const Job& job) {
  const Lease lease = job.lease.value_or(Lease());
  const DeterminismKey key = job.determinism_key.value_or(DeterminismKey());
  return db_->Execute(sql::kUpdateJob, {job.project,
                                        job.id,
                                        Number(job.state),
                                        Number(job.reason),
                                        Number(job.stop),
                                        Number(job.failure.code),
                                        job.failure.message,
                                        job.update_time,
                                        job.queue_time,
                                        job.eligible_time,
                                        job.start_time,
                                        job.end_time,
                                        job.last_attempt,
                                        job.attempts_spent,
                                        job.bit_exact,
                                        lease.worker,
                                        SqlValue::Blob(lease.attempt.token),
                                        lease.expires_at,
                                        lease.bit_exact,
                                        job.determinism_key.has_value(),
                                        key.onednn_version,
                                        key.isa,
                                        key.threads,
                                        key.plan_digest,
                                        SqlValue::Blob(job.progress),
                                        job.last_sequence,
                                        job.progress_events,
                                        job.last_progress_event});
}

absl::Status SqliteTables::PutResult(const Job& job) {
  RETURN_IF_ERROR(
      db_->Execute(sql::kUpdateResult, {job.project, job.id, SqlValue::Blob(job.result)}));
  RETURN_IF_ERROR(db_->Execute(sql::kDeleteJobArtifacts, {job.project, job.id, kOutput}));
  return InsertReferences(job, kOutput, job.outputs);
}

absl::Status SqliteTables::PutCheckpoints(const Job& job) {
  RETURN_IF_ERROR(db_->Execute(sql::kDeleteCheckpoints, {job.project, job.id}));
  int position = 0;
  for (const Checkpoint& checkpoint : job.checkpoints) {
    RETURN_IF_ERROR(db_->Execute(sql::kInsertCheckpoint,
                                 {job.project, job.id, position++, checkpoint.digest,
                                  checkpoint.attempt, checkpoint.step, checkpoint.create_time}));
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::DeleteJob(const JobName& name) {
  return db_->Execute(sql::kDeleteJob, {name.project, name.job});
}

absl::Status SqliteTables::PutAttempt(const JobName& name, const Attempt& attempt) {
  return db_->Execute(sql::kPutAttempt, {name.project, name.job, attempt.number, attempt.worker,
                                         SqlValue::Blob(attempt.token), Number(attempt.state),
                                         attempt.bit_exact, attempt.start_time, attempt.end_time,
                                         Number(attempt.failure.code), attempt.failure.message});
}

absl::StatusOr<std::vector<Attempt>> SqliteTables::ListAttempts(const JobName& name) {
  std::vector<Attempt> attempts;
  RETURN_IF_ERROR(db_->Query(sql::kListAttempts, {name.project, name.job},
                             [&](const SqlRow& row) { attempts.push_back(ReadAttempt(row)); }));
  return attempts;
}

absl::Status SqliteTables::AppendEvent(const JobName& name, const JobEvent& event) {
  return db_->Execute(sql::kInsertEvent,
                      {name.project, name.job, event.sequence, event.time, Number(event.kind),
                       Number(event.state), Number(event.reason), event.attempt, event.worker,
                       Number(event.failure.code), event.failure.message,
                       SqlValue::Blob(event.progress), event.children_ended, event.children});
}

absl::StatusOr<std::vector<JobEvent>> SqliteTables::ListEvents(const JobName& name, int64_t after,
                                                               int limit) {
  std::vector<JobEvent> events;
  RETURN_IF_ERROR(db_->Query(sql::kListEvents, {name.project, name.job, after, limit},
                             [&](const SqlRow& row) { events.push_back(ReadEvent(row)); }));
  return events;
}

absl::StatusOr<int> SqliteTables::ThinProgress(const JobName& name) {
  RETURN_IF_ERROR(db_->Execute(sql::kThinProgress, {name.project, name.job}));
  ASSIGN_OR_RETURN(const int64_t left, QueryInteger(sql::kCountProgress, {name.project, name.job}));
  return static_cast<int>(left);
}

absl::StatusOr<std::vector<Job>> SqliteTables::ListJobs(const JobQuery& query,
                                                        const PageCursor& cursor, int limit) {
  int64_t states = query.states.empty() ? ~int64_t{0} : 0;
  for (JobState state : query.states) states |= int64_t{1} << Number(state);
  std::string text = sql::kListJobsBegin;
  std::vector<SqlValue> values = {query.project, cursor.create_time, cursor.id, states, limit};
  if (!query.parent.empty()) {
    absl::StrAppend(&text, sql::kListJobsChildren);
    values.push_back(query.parent);
  } else if (!query.include_children) {
    absl::StrAppend(&text, sql::kListJobsNoChildren);
  }
  for (const auto& [name, value] : query.labels) {
    const int n = static_cast<int>(values.size());
    absl::StrAppendFormat(&text, sql::kListJobsLabel, n + 1, n + 2);
    values.push_back(name);
    values.push_back(value);
  }
  absl::StrAppend(&text, sql::kListJobsEnd);
  return QueryJobs(text, values);
}

absl::StatusOr<std::map<JobState, int64_t>> SqliteTables::CountByState() {
  std::map<JobState, int64_t> counts;
  RETURN_IF_ERROR(db_->Query(sql::kCountByState, {}, [&](const SqlRow& row) {
    counts[static_cast<JobState>(row.Integer(0))] = row.Integer(1);
  }));
  return counts;
}

absl::StatusOr<std::vector<Job>> SqliteTables::ListHeld(const std::string& worker) {
  return QueryJobs(sql::kListHeld, {worker});
}

absl::StatusOr<std::vector<Job>> SqliteTables::ListChildren(const JobName& sweep) {
  return QueryJobs(sql::kListChildren, {sweep.project, sweep.job});
}

absl::StatusOr<std::vector<JobName>> SqliteTables::QueryNames(absl::string_view sql,
                                                              absl::Span<const SqlValue> values) {
  std::vector<JobName> names;
  RETURN_IF_ERROR(db_->Query(sql, values, [&](const SqlRow& row) {
    names.push_back({row.Bytes(0), row.Bytes(1)});
  }));
  return names;
}

absl::StatusOr<std::vector<JobName>> SqliteTables::ListExpired(absl::Time now, int limit) {
  return QueryNames(sql::kListExpired, {now, limit});
}

absl::StatusOr<std::vector<JobName>> SqliteTables::ListOverdue(absl::Time now, int limit) {
  return QueryNames(sql::kListOverdue, {now, limit});
}

absl::StatusOr<std::vector<JobName>> SqliteTables::ListEndedSweeps(int limit) {
  return QueryNames(sql::kListEndedSweeps, {limit});
}

absl::StatusOr<SchedulingSnapshot> SqliteTables::Snapshot(absl::Time now, int per_class) {
  SchedulingSnapshot snapshot;
  RETURN_IF_ERROR(db_->Query(sql::kListQueued, {now, per_class}, [&](const SqlRow& row) {
    snapshot.queued.push_back(ReadQueued(row));
  }));
  RETURN_IF_ERROR(db_->Query(sql::kRunningByProject, {}, [&](const SqlRow& row) {
    snapshot.running_by_project[row.Bytes(0)] = static_cast<int>(row.Integer(1));
  }));
  RETURN_IF_ERROR(db_->Query(sql::kNextEligible, {now},
                             [&](const SqlRow& row) { snapshot.next_eligible = row.Time(0); }));
  return snapshot;
}

}  // namespace topiary
