#include "server/jobs/transactional_metadata_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/job_transition.h"
#include "server/jobs/page_token.h"
#include "server/jobs/status_reason.h"
#include "server/jobs/transaction_steps.h"

namespace topiary {
namespace {

absl::StatusOr<Attempt> LoadAttempt(MetadataTables& tables, const JobName& name, int number) {
  ASSIGN_OR_RETURN(std::vector<Attempt> attempts, tables.ListAttempts(name));
  for (Attempt& attempt : attempts) {
    if (attempt.number == number) return std::move(attempt);
  }
  return WithReason(absl::AbortedError(absl::StrCat(ToString(name), " has no attempt ", number)),
                    kReasonStaleAttempt);
}

std::string QueryKey(const JobQuery& query) {
  std::vector<JobState> states = query.states;
  std::sort(states.begin(), states.end());
  std::string key = absl::StrCat("jobs\n", query.project);
  absl::StrAppend(&key, "\n", query.parent, "\n", query.include_children ? "all" : "");
  for (JobState state : states) absl::StrAppend(&key, "\n", static_cast<int>(state));
  for (const auto& [name, value] : query.labels) absl::StrAppend(&key, "\n", name, "=", value);
  return key;
}

absl::Status CheckPageSize(int page_size) {
  if (page_size >= 1 && page_size <= kMaxPageSize) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("page size ", page_size, " is not in 1..", kMaxPageSize));
}

// Applies one update to the attempt's job. An error here is that of the whole transaction.
absl::Status ApplyUpdate(MetadataTables& tables, const AttemptUpdate& update, absl::Time now,
                         UpdateResult* result, std::vector<JobChange>* changes) {
  const JobName name = update.attempt.job_name();
  absl::StatusOr<Job> job = LoadJob(tables, name);
  result->status = job.ok() ? CheckCurrent(*job, update.attempt) : job.status();
  if (absl::IsNotFound(result->status) || absl::IsAborted(result->status)) return absl::OkStatus();
  RETURN_IF_ERROR(result->status);
  job->lease->expires_at = std::max(job->lease->expires_at, update.expires_at);
  if (update.determinism_key.has_value()) {
    if (!job->determinism_key.has_value()) job->determinism_key = update.determinism_key;
    if (!(*job->determinism_key == *update.determinism_key)) job->bit_exact = false;
  }
  if (update.progress.has_value()) {
    const std::optional<JobEvent> event = Progress(&*job, *update.progress, now);
    if (event.has_value()) {
      RETURN_IF_ERROR(tables.AppendEvent(name, *event));
      changes->push_back({name, job->state});
    }
    if (job->progress_events >= kMaxProgressEvents) {
      ASSIGN_OR_RETURN(job->progress_events, tables.ThinProgress(name));
    }
  }
  result->stop = job->stop;
  result->expires_at = job->lease->expires_at;
  return tables.UpdateJob(*job);
}

absl::StatusOr<MovedJob> Reclaim(MetadataTables& tables, const JobName& name, absl::Time now,
                                 std::vector<JobChange>* changes) {
  ASSIGN_OR_RETURN(Job job, LoadJob(tables, name));
  ASSIGN_OR_RETURN(Attempt attempt, LoadAttempt(tables, name, job.last_attempt));
  const JobEvent event = LoseLease(&job, &attempt, now);
  RETURN_IF_ERROR(tables.PutAttempt(name, attempt));
  RETURN_IF_ERROR(Save(tables, &job, event, changes));
  return MovedJob{name, job.state, attempt.number, attempt.worker};
}

}  // namespace

absl::Status TransactionalMetadataStore::WriteAndTell(
    absl::FunctionRef<absl::Status(MetadataTables&, std::vector<JobChange>*)> transaction) {
  std::vector<JobChange> changes;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    changes.clear();
    return transaction(tables, &changes);
  }));
  if (listener_) {
    for (const JobChange& change : changes) listener_(change);
  }
  return absl::OkStatus();
}

void TransactionalMetadataStore::SetListener(std::function<void(const JobChange&)> listener) {
  listener_ = std::move(listener);
}

absl::StatusOr<Job> TransactionalMetadataStore::Insert(const Job& job, int max_live,
                                                       absl::Time now) {
  Job stored;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(std::optional<Job> same, FindSameRequest(tables, job));
    if (same.has_value()) {
      stored = *std::move(same);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(CheckRoom(tables, job.project, 1, max_live));
    stored = job;
    return AddJob(tables, &stored, now, changes);
  }));
  return stored;
}

absl::StatusOr<Job> TransactionalMetadataStore::Get(const JobName& name) {
  absl::StatusOr<Job> job = absl::UnknownError("not run");
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    job = LoadJob(tables, name);
    return job.status();
  }));
  return job;
}

absl::StatusOr<std::vector<Attempt>> TransactionalMetadataStore::ListAttempts(const JobName& name) {
  std::vector<Attempt> attempts;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    RETURN_IF_ERROR(LoadJob(tables, name).status());
    ASSIGN_OR_RETURN(attempts, tables.ListAttempts(name));
    return absl::OkStatus();
  }));
  return attempts;
}

absl::StatusOr<JobPage> TransactionalMetadataStore::List(const JobQuery& query) {
  RETURN_IF_ERROR(CheckPageSize(query.page_size));
  const std::string key = QueryKey(query);
  ASSIGN_OR_RETURN(const PageCursor cursor, DecodePageToken(query.page_token, key));
  JobPage page;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(page.jobs, tables.ListJobs(query, cursor, query.page_size + 1));
    return absl::OkStatus();
  }));
  if (page.jobs.size() > static_cast<size_t>(query.page_size)) {
    page.jobs.pop_back();
    page.next_page_token =
        EncodePageToken({page.jobs.back().create_time, page.jobs.back().id}, key);
  }
  return page;
}

absl::StatusOr<std::map<JobState, int64_t>> TransactionalMetadataStore::CountByState() {
  std::map<JobState, int64_t> counts;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(counts, tables.CountByState());
    return absl::OkStatus();
  }));
  return counts;
}

absl::StatusOr<Job> TransactionalMetadataStore::RequestCancel(const JobName& name, absl::Time now) {
  Job job;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(job, LoadJob(tables, name));
    const std::optional<JobEvent> event = Cancel(&job, now);
    if (!event.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(Save(tables, &job, *event, changes));
    return job.is_sweep() ? CancelChildren(tables, &job, now, changes) : absl::OkStatus();
  }));
  return job;
}

absl::Status TransactionalMetadataStore::Delete(const JobName& name) {
  return WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(Job job, LoadJob(tables, name));
    RETURN_IF_ERROR(CheckEnded(job));
    if (!job.parent.empty()) {
      ASSIGN_OR_RETURN(const Job sweep, LoadJob(tables, job.parent_name()));
      RETURN_IF_ERROR(CheckEnded(sweep));
    }
    if (job.is_sweep()) {
      ASSIGN_OR_RETURN(std::vector<Job> children, tables.ListChildren(name));
      for (Job& child : children) RETURN_IF_ERROR(RemoveJob(tables, &child, changes));
    }
    return RemoveJob(tables, &job, changes);
  });
}

absl::StatusOr<Job> TransactionalMetadataStore::Acquire(const JobName& name,
                                                        const std::string& worker,
                                                        const std::string& token,
                                                        absl::Time expires_at, bool bit_exact,
                                                        absl::Time now) {
  Job job;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(job, LoadJob(tables, name));
    ASSIGN_OR_RETURN(const Started started, Start(&job, worker, token, expires_at, bit_exact, now));
    RETURN_IF_ERROR(tables.PutAttempt(name, started.attempt));
    return Save(tables, &job, started.event, changes);
  }));
  return job;
}

absl::StatusOr<std::vector<Job>> TransactionalMetadataStore::ListHeld(const std::string& worker) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(jobs, tables.ListHeld(worker));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<UpdateResult>> TransactionalMetadataStore::RecordProgress(
    absl::Span<const AttemptUpdate> updates, absl::Time now) {
  std::vector<UpdateResult> results;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    results.assign(updates.size(), UpdateResult());
    for (size_t i = 0; i < updates.size(); ++i) {
      RETURN_IF_ERROR(ApplyUpdate(tables, updates[i], now, &results[i], changes));
    }
    return absl::OkStatus();
  }));
  return results;
}

absl::Status TransactionalMetadataStore::RecordCheckpoint(const AttemptName& attempt,
                                                          const Checkpoint& checkpoint,
                                                          absl::Time now) {
  return WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>*) {
    ASSIGN_OR_RETURN(Job job, LoadJob(tables, attempt.job_name()));
    RETURN_IF_ERROR(CheckCurrent(job, attempt));
    if (!job.checkpoints.empty()) {
      // A report that was repeated or came late: what is recorded is as new.
      const Checkpoint& newest = job.checkpoints.front();
      if (newest.digest == checkpoint.digest ||
          (newest.attempt == attempt.attempt && newest.step >= checkpoint.step)) {
        return absl::OkStatus();
      }
    }
    RETURN_IF_ERROR(CheckArtifacts(tables, job.project, {{checkpoint.digest, "checkpoint"}}));
    Checkpoint added = checkpoint;
    added.attempt = attempt.attempt;
    added.create_time = now;
    job.checkpoints.insert(job.checkpoints.begin(), added);
    job.update_time = now;
    RETURN_IF_ERROR(TrimCheckpoints(tables, &job, kCheckpointsKept));
    return tables.UpdateJob(job);
  });
}

absl::StatusOr<Job> TransactionalMetadataStore::FinishAttempt(const AttemptName& attempt,
                                                              const AttemptOutcome& outcome,
                                                              absl::Time now) {
  Job job;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    const JobName name = attempt.job_name();
    ASSIGN_OR_RETURN(job, LoadJob(tables, name));
    const absl::Status current = CheckCurrent(job, attempt);
    absl::StatusOr<Attempt> record = LoadAttempt(tables, name, attempt.attempt);
    if (!current.ok()) {
      const bool repeated =
          record.ok() && record->token == attempt.token && record->state == EndState(outcome.kind);
      return repeated ? absl::OkStatus() : current;
    }
    RETURN_IF_ERROR(record.status());
    RETURN_IF_ERROR(CheckArtifacts(tables, job.project, outcome.outputs));
    const JobEvent event = Finish(&job, &*record, outcome, now);
    RETURN_IF_ERROR(tables.PutAttempt(name, *record));
    if (!job.result.empty() || job.state == JobState::kSucceeded) {
      RETURN_IF_ERROR(tables.PutResult(job));
    }
    return Save(tables, &job, event, changes);
  }));
  return job;
}

absl::StatusOr<std::vector<MovedJob>> TransactionalMetadataStore::ReclaimExpired(absl::Time now,
                                                                                 int limit) {
  std::vector<MovedJob> moved;
  std::vector<JobName> expired;
  // Nearly always there is nothing to write, and a read waits for nobody.
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(expired, tables.ListExpired(now, 1));
    return absl::OkStatus();
  }));
  if (expired.empty()) return moved;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    moved.clear();
    ASSIGN_OR_RETURN(expired, tables.ListExpired(now, limit));
    for (const JobName& name : expired) {
      ASSIGN_OR_RETURN(MovedJob job, Reclaim(tables, name, now, changes));
      moved.push_back(std::move(job));
    }
    return absl::OkStatus();
  }));
  return moved;
}

absl::StatusOr<std::vector<MovedJob>> TransactionalMetadataStore::ExpireDeadlines(absl::Time now,
                                                                                  int limit) {
  std::vector<MovedJob> moved;
  std::vector<JobName> overdue;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(overdue, tables.ListOverdue(now, 1));
    return absl::OkStatus();
  }));
  if (overdue.empty()) return moved;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    moved.clear();
    ASSIGN_OR_RETURN(overdue, tables.ListOverdue(now, limit));
    for (const JobName& name : overdue) {
      ASSIGN_OR_RETURN(Job job, LoadJob(tables, name));
      const std::optional<JobEvent> event = PassDeadline(&job, now);
      if (!event.has_value()) continue;
      RETURN_IF_ERROR(Save(tables, &job, *event, changes));
      moved.push_back({name, job.state, 0, job.lease.has_value() ? job.lease->worker : ""});
    }
    return absl::OkStatus();
  }));
  return moved;
}

absl::StatusOr<std::vector<JobEvent>> TransactionalMetadataStore::ListEvents(const JobName& name,
                                                                             int64_t after,
                                                                             int limit) {
  std::vector<JobEvent> events;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    RETURN_IF_ERROR(LoadJob(tables, name).status());
    ASSIGN_OR_RETURN(events, tables.ListEvents(name, after, limit));
    return absl::OkStatus();
  }));
  return events;
}

absl::StatusOr<SchedulingSnapshot> TransactionalMetadataStore::Snapshot(absl::Time now,
                                                                        int per_class) {
  SchedulingSnapshot snapshot;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(snapshot, tables.Snapshot(now, per_class));
    return absl::OkStatus();
  }));
  return snapshot;
}

}  // namespace topiary
