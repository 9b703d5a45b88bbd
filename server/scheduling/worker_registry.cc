#include "server/scheduling/worker_registry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/jobs/status_reason.h"

namespace topiary {

bool WorkerRegistry::Report(const WorkerReport& report, absl::Time now) {
  MutexLock lock(&mutex_);
  Entry& entry = workers_[report.worker];
  entry.info.id = report.worker;
  entry.info.capabilities = report.capabilities;
  entry.info.last_report_time = now;
  entry.info.jobs.clear();
  for (const AttemptReport& attempt : report.attempts) {
    if (!attempt.outcome.has_value()) entry.info.jobs.push_back(attempt.attempt.job_name());
  }
  entry.free_slots = report.free_slots;
  entry.draining = report.draining;
  const bool drain = entry.info.drain_requested;
  Forget(now);
  return drain;
}

void WorkerRegistry::SetWaiting(const std::string& worker, bool waiting, absl::Time now) {
  MutexLock lock(&mutex_);
  const auto it = workers_.find(worker);
  if (it == workers_.end()) return;
  it->second.waiting = waiting;
  it->second.info.last_report_time = std::max(it->second.info.last_report_time, now);
}

void WorkerRegistry::Forget(absl::Time now) {
  for (auto it = workers_.begin(); it != workers_.end();) {
    const Entry& entry = it->second;
    const bool gone = !entry.waiting && entry.info.last_report_time < now - forget_after_;
    it = gone ? workers_.erase(it) : std::next(it);
  }
  while (workers_.size() > max_workers_) {
    workers_.erase(
        std::min_element(workers_.begin(), workers_.end(), [](const auto& a, const auto& b) {
          return a.second.info.last_report_time < b.second.info.last_report_time;
        }));
  }
}

WorkerInfo WorkerRegistry::InfoOf(const Entry& entry, absl::Time now) const {
  WorkerInfo info = entry.info;
  if (!entry.waiting && info.last_report_time < now - silent_after_) {
    info.state = WorkerInfo::State::kSilent;
  } else if (entry.draining || info.drain_requested) {
    info.state = WorkerInfo::State::kDraining;
  } else {
    info.state = entry.free_slots > 0 ? WorkerInfo::State::kIdle : WorkerInfo::State::kBusy;
  }
  return info;
}

std::vector<WorkerInfo> WorkerRegistry::List(const std::string& after, int limit, absl::Time now) {
  MutexLock lock(&mutex_);
  Forget(now);
  std::vector<WorkerInfo> workers;
  for (auto it = workers_.upper_bound(after); it != workers_.end(); ++it) {
    if (workers.size() >= static_cast<size_t>(limit)) break;
    workers.push_back(InfoOf(it->second, now));
  }
  return workers;
}

absl::StatusOr<WorkerInfo> WorkerRegistry::Drain(const std::string& worker, absl::Time now) {
  MutexLock lock(&mutex_);
  const auto it = workers_.find(worker);
  if (it == workers_.end()) {
    return WithReason(
        absl::NotFoundError(absl::StrCat("no worker ", worker, " was heard of lately")),
        kReasonWorkerNotFound);
  }
  it->second.info.drain_requested = true;
  return InfoOf(it->second, now);
}

}  // namespace topiary
