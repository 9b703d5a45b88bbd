#include "server/jobs/memory_tables.h"

#include <algorithm>
#include <tuple>

namespace topiary {
namespace {

bool RefersTo(const std::vector<ArtifactReference>& references, const std::string& digest) {
  return std::any_of(references.begin(), references.end(),
                     [&](const ArtifactReference& r) { return r.digest == digest; });
}

bool HasCheckpoint(const Job& job, const std::string& digest) {
  return std::any_of(job.checkpoints.begin(), job.checkpoints.end(),
                     [&](const Checkpoint& c) { return c.digest == digest; });
}

template <typename T>
bool Contains(const std::vector<T>& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Whether (time, id) comes after the cursor in a newest-first list.
bool IsAfter(const PageCursor& cursor, absl::Time time, const std::string& id) {
  return time < cursor.create_time || (time == cursor.create_time && id > cursor.id);
}

bool Matches(const JobQuery& query, const Job& job) {
  if (job.project != query.project) return false;
  if (!query.states.empty() && !Contains(query.states, job.state)) return false;
  if (!query.parent.empty() && job.parent != query.parent) return false;
  if (query.parent.empty() && !query.include_children && !job.parent.empty()) return false;
  return std::all_of(query.labels.begin(), query.labels.end(), [&](const auto& label) {
    const auto it = job.labels.find(label.first);
    return it != job.labels.end() && it->second == label.second;
  });
}

bool Matches(const ArtifactQuery& query, const Artifact& artifact) {
  if (artifact.project != query.project) return false;
  if (query.kinds.empty()) return artifact.kind != ArtifactKind::kCheckpoint;
  return Contains(query.kinds, artifact.kind);
}

QueuedJob ToQueued(const Job& job) {
  return {job.name(),    job.priority,        job.create_time, job.queue_time,
          job.placement, job.determinism_key, job.bit_exact};
}

// Jobs with the same demand are interchangeable for a worker.
using DemandClass =
    std::tuple<std::string, Device, int, int64_t, bool, bool, std::string, std::string, int, bool>;

DemandClass ClassOf(const Job& job) {
  const DeterminismKey key = job.determinism_key.value_or(DeterminismKey());
  return {job.project,
          job.placement.device,
          job.placement.threads,
          job.placement.memory_bytes,
          job.placement.bfloat16,
          job.determinism_key.has_value(),
          key.onednn_version,
          key.isa,
          key.threads,
          job.bit_exact};
}

}  // namespace

template <typename Map, typename Value>
void MemoryTables::Set(Map* map, const typename Map::key_type& key, Value value) {
  const auto it = map->find(key);
  if (it == map->end()) {
    undo_.push_back([map, key] { map->erase(key); });
    map->emplace(key, std::move(value));
  } else {
    undo_.push_back([map, key, old = it->second] { (*map)[key] = old; });
    it->second = std::move(value);
  }
}

template <typename Map>
void MemoryTables::Erase(Map* map, const typename Map::key_type& key) {
  const auto it = map->find(key);
  if (it == map->end()) return;
  undo_.push_back([map, key, old = it->second] { (*map)[key] = old; });
  map->erase(it);
}

void MemoryTables::Rollback() {
  while (!undo_.empty()) {
    undo_.back()();
    undo_.pop_back();
  }
}

Job MemoryTables::Counted(const Job& job) const {
  Job counted = job;
  if (!job.is_sweep()) return counted;
  std::map<JobState, int> counts;
  for (const auto& [name, other] : jobs_) {
    if (other.project == job.project && other.parent == job.id) ++counts[other.state];
  }
  counted.child_counts = {counts[JobState::kQueued], counts[JobState::kRunning],
                          counts[JobState::kSucceeded], counts[JobState::kFailed],
                          counts[JobState::kCancelled]};
  return counted;
}

absl::StatusOr<std::optional<Job>> MemoryTables::FindJob(const JobName& name) {
  const auto it = jobs_.find(name);
  return it == jobs_.end() ? std::nullopt : std::optional<Job>(Counted(it->second));
}

absl::StatusOr<std::optional<Job>> MemoryTables::FindRequest(const std::string& project,
                                                             const std::string& request_id) {
  for (const auto& [name, job] : jobs_) {
    if (name.project == project && job.request_id == request_id) {
      return std::optional<Job>(Counted(job));
    }
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> MemoryTables::CountLive(const std::string& project) {
  return std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
    return entry.first.project == project && !IsTerminal(entry.second.state);
  });
}

absl::Status MemoryTables::InsertJob(const Job& job) {
  Set(&jobs_, job.name(), job);
  return absl::OkStatus();
}

absl::Status MemoryTables::UpdateJob(const Job& job) {
  Job merged = job;
  const Job& old = jobs_.at(job.name());
  merged.result = old.result;
  merged.outputs = old.outputs;
  merged.checkpoints = old.checkpoints;
  Set(&jobs_, job.name(), std::move(merged));
  return absl::OkStatus();
}

absl::Status MemoryTables::PutResult(const Job& job) {
  Job merged = jobs_.at(job.name());
  merged.result = job.result;
  merged.outputs = job.outputs;
  Set(&jobs_, job.name(), std::move(merged));
  return absl::OkStatus();
}

absl::Status MemoryTables::PutCheckpoints(const Job& job) {
  Job merged = jobs_.at(job.name());
  merged.checkpoints = job.checkpoints;
  Set(&jobs_, job.name(), std::move(merged));
  return absl::OkStatus();
}

absl::Status MemoryTables::DeleteJob(const JobName& name) {
  Erase(&jobs_, name);
  Erase(&attempts_, name);
  Erase(&events_, name);
  return absl::OkStatus();
}

absl::Status MemoryTables::PutAttempt(const JobName& name, const Attempt& attempt) {
  std::map<int, Attempt> attempts = attempts_[name];
  attempts[attempt.number] = attempt;
  Set(&attempts_, name, std::move(attempts));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Attempt>> MemoryTables::ListAttempts(const JobName& name) {
  std::vector<Attempt> attempts;
  for (const auto& [number, attempt] : attempts_[name]) attempts.push_back(attempt);
  return attempts;
}

absl::Status MemoryTables::AppendEvent(const JobName& name, const JobEvent& event) {
  std::map<int64_t, JobEvent>* events = &events_[name];
  undo_.push_back([this, name, sequence = event.sequence] { events_[name].erase(sequence); });
  events->emplace(event.sequence, event);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JobEvent>> MemoryTables::ListEvents(const JobName& name, int64_t after,
                                                               int limit) {
  std::vector<JobEvent> events;
  const std::map<int64_t, JobEvent>& all = events_[name];
  for (auto it = all.upper_bound(after); it != all.end(); ++it) {
    if (events.size() >= static_cast<size_t>(limit)) break;
    events.push_back(it->second);
  }
  return events;
}

absl::StatusOr<int> MemoryTables::ThinProgress(const JobName& name) {
  std::map<int64_t, JobEvent> events = events_[name];
  int seen = 0;
  int left = 0;
  for (auto it = events.begin(); it != events.end();) {
    const bool drop = it->second.kind == JobEvent::Kind::kProgress && ++seen % 2 == 1;
    if (it->second.kind == JobEvent::Kind::kProgress && !drop) ++left;
    it = drop ? events.erase(it) : std::next(it);
  }
  Set(&events_, name, std::move(events));
  return left;
}

absl::StatusOr<std::vector<Job>> MemoryTables::ListJobs(const JobQuery& query,
                                                        const PageCursor& cursor, int limit) {
  std::vector<Job> jobs;
  for (const auto& [name, job] : jobs_) {
    if (Matches(query, job) && IsAfter(cursor, job.create_time, job.id)) {
      jobs.push_back(Counted(job));
    }
  }
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) {
    return a.create_time != b.create_time ? a.create_time > b.create_time : a.id < b.id;
  });
  if (jobs.size() > static_cast<size_t>(limit)) jobs.resize(limit);
  return jobs;
}

absl::StatusOr<std::map<JobState, int64_t>> MemoryTables::CountByState() {
  std::map<JobState, int64_t> counts;
  for (const auto& [name, job] : jobs_) ++counts[job.state];
  return counts;
}

absl::StatusOr<std::vector<Job>> MemoryTables::ListHeld(const std::string& worker) {
  std::vector<Job> jobs;
  for (const auto& [name, job] : jobs_) {
    if (job.lease.has_value() && job.lease->worker == worker) jobs.push_back(job);
  }
  return jobs;
}

absl::StatusOr<std::vector<Job>> MemoryTables::ListChildren(const JobName& sweep) {
  std::vector<Job> children;
  for (const auto& [name, job] : jobs_) {
    if (name.project == sweep.project && job.parent == sweep.job) children.push_back(job);
  }
  return children;
}

absl::StatusOr<std::vector<JobName>> MemoryTables::ListEndedSweeps(int limit) {
  std::vector<JobName> names;
  for (const auto& [name, job] : jobs_) {
    if (names.size() >= static_cast<size_t>(limit)) break;
    if (job.is_sweep() && !IsTerminal(job.state) && Counted(job).child_counts.all_ended()) {
      names.push_back(name);
    }
  }
  return names;
}

absl::StatusOr<std::vector<JobName>> MemoryTables::ListExpired(absl::Time now, int limit) {
  std::vector<JobName> names;
  for (const auto& [name, job] : jobs_) {
    if (names.size() >= static_cast<size_t>(limit)) break;
    if (job.lease.has_value() && job.lease->expires_at < now) names.push_back(name);
  }
  return names;
}

absl::StatusOr<std::vector<JobName>> MemoryTables::ListOverdue(absl::Time now, int limit) {
  std::vector<JobName> names;
  for (const auto& [name, job] : jobs_) {
    if (names.size() >= static_cast<size_t>(limit)) break;
    if (!IsTerminal(job.state) && !job.is_sweep() && job.stop == StopReason::kNone &&
        job.deadline <= now) {
      names.push_back(name);
    }
  }
  return names;
}

absl::StatusOr<SchedulingSnapshot> MemoryTables::Snapshot(absl::Time now, int per_class) {
  SchedulingSnapshot snapshot;
  std::vector<const Job*> eligible;
  for (const auto& [name, job] : jobs_) {
    if (job.is_sweep()) continue;
    if (job.state == JobState::kRunning) ++snapshot.running_by_project[job.project];
    if (job.state != JobState::kQueued) continue;
    if (job.eligible_time > now) {
      snapshot.next_eligible = std::min(snapshot.next_eligible, job.eligible_time);
    } else {
      eligible.push_back(&job);
    }
  }
  std::sort(eligible.begin(), eligible.end(), [](const Job* a, const Job* b) {
    return std::make_tuple(-a->priority, a->create_time, a->id) <
           std::make_tuple(-b->priority, b->create_time, b->id);
  });
  std::map<DemandClass, int> taken;
  for (const Job* job : eligible) {
    if (++taken[ClassOf(*job)] <= per_class) snapshot.queued.push_back(ToQueued(*job));
  }
  return snapshot;
}

absl::StatusOr<std::optional<Artifact>> MemoryTables::FindArtifact(const std::string& project,
                                                                   const std::string& digest) {
  const auto it = artifacts_.find({project, digest});
  return it == artifacts_.end() ? std::nullopt : std::optional<Artifact>(it->second);
}

absl::Status MemoryTables::PutArtifact(const Artifact& artifact) {
  Set(&artifacts_, {artifact.project, artifact.digest}, artifact);
  return absl::OkStatus();
}

absl::Status MemoryTables::DeleteArtifact(const std::string& project, const std::string& digest) {
  Erase(&artifacts_, {project, digest});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Artifact>> MemoryTables::ListArtifacts(const ArtifactQuery& query,
                                                                  const PageCursor& cursor,
                                                                  int limit) {
  std::vector<Artifact> found;
  for (const auto& [key, artifact] : artifacts_) {
    if (Matches(query, artifact) && IsAfter(cursor, artifact.create_time, artifact.digest)) {
      found.push_back(artifact);
    }
  }
  std::sort(found.begin(), found.end(), [](const Artifact& a, const Artifact& b) {
    return a.create_time != b.create_time ? a.create_time > b.create_time : a.digest < b.digest;
  });
  if (found.size() > static_cast<size_t>(limit)) found.resize(limit);
  return found;
}

absl::StatusOr<bool> MemoryTables::HasContent(const std::string& digest) {
  return std::any_of(artifacts_.begin(), artifacts_.end(),
                     [&](const auto& entry) { return entry.first.second == digest; });
}

absl::StatusOr<int64_t> MemoryTables::TotalBytes() {
  std::map<std::string, int64_t> sizes;
  for (const auto& [key, artifact] : artifacts_) sizes[artifact.digest] = artifact.size_bytes;
  int64_t total = 0;
  for (const auto& [digest, size] : sizes) total += size;
  return total;
}

absl::StatusOr<std::optional<JobName>> MemoryTables::FindLiveUser(const std::string& project,
                                                                  const std::string& digest) {
  for (const auto& [name, job] : jobs_) {
    if (name.project != project || IsTerminal(job.state)) continue;
    if (RefersTo(job.inputs, digest) || HasCheckpoint(job, digest)) {
      return std::optional<JobName>(name);
    }
  }
  return std::nullopt;
}

absl::StatusOr<bool> MemoryTables::IsReferenced(const std::string& project,
                                                const std::string& digest) {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
    const Job& job = entry.second;
    return job.project == project && (RefersTo(job.inputs, digest) ||
                                      RefersTo(job.outputs, digest) || HasCheckpoint(job, digest));
  });
}

absl::StatusOr<std::vector<Artifact>> MemoryTables::ListOrphanCheckpoints(absl::Time before,
                                                                          int limit) {
  std::vector<Artifact> orphans;
  for (const auto& [key, artifact] : artifacts_) {
    if (orphans.size() >= static_cast<size_t>(limit)) break;
    if (artifact.kind == ArtifactKind::kCheckpoint && artifact.create_time < before &&
        !*IsReferenced(key.first, key.second)) {
      orphans.push_back(artifact);
    }
  }
  return orphans;
}

absl::StatusOr<std::optional<UploadSession>> MemoryTables::FindUpload(const std::string& project,
                                                                      const std::string& id) {
  const auto it = uploads_.find({project, id});
  return it == uploads_.end() ? std::nullopt : std::optional<UploadSession>(it->second);
}

absl::StatusOr<std::optional<UploadSession>> MemoryTables::FindOpenUpload(
    const UploadSession& like) {
  for (const auto& [key, session] : uploads_) {
    if (!session.finished && session.project == like.project && session.digest == like.digest &&
        session.size_bytes == like.size_bytes) {
      return std::optional<UploadSession>(session);
    }
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> MemoryTables::CountOpenUploads(const std::string& project) {
  return std::count_if(uploads_.begin(), uploads_.end(), [&](const auto& entry) {
    return entry.first.first == project && !entry.second.finished;
  });
}

absl::StatusOr<bool> MemoryTables::IsOpenUpload(const std::string& id) {
  return std::any_of(uploads_.begin(), uploads_.end(), [&](const auto& entry) {
    return entry.first.second == id && !entry.second.finished;
  });
}

absl::Status MemoryTables::PutUpload(const UploadSession& session) {
  Set(&uploads_, {session.project, session.id}, session);
  return absl::OkStatus();
}

absl::Status MemoryTables::DeleteUpload(const std::string& project, const std::string& id) {
  Erase(&uploads_, {project, id});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UploadSession>> MemoryTables::ListIdleUploads(absl::Time before,
                                                                         int limit) {
  std::vector<UploadSession> idle;
  for (const auto& [key, session] : uploads_) {
    if (idle.size() >= static_cast<size_t>(limit)) break;
    if (session.update_time < before) idle.push_back(session);
  }
  return idle;
}

}  // namespace topiary
