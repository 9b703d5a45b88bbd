#include "server/scheduling/lease_policy.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "absl/strings/string_view.h"

namespace topiary {
namespace {

struct Candidate {
  const QueuedJob* job;
  bool bit_exact;
  bool taken = false;
};

// The jobs that the worker may have now; notes in `next` when it may have others.
std::vector<Candidate> Candidates(const SchedulingSnapshot& snapshot,
                                  const WorkerCapabilities& worker, absl::Time now,
                                  absl::Duration same_key_wait, absl::Time* next) {
  std::vector<Candidate> candidates;
  for (const QueuedJob& job : snapshot.queued) {
    if (!CanRun(worker, job.placement)) continue;
    const bool matches =
        !job.determinism_key.has_value() || MatchesKey(worker, *job.determinism_key);
    const absl::Time wait_end = job.queue_time + same_key_wait;
    if (!matches && job.bit_exact && now < wait_end) {
      *next = std::min(*next, wait_end);
      continue;
    }
    candidates.push_back({&job, matches});
  }
  return candidates;
}

bool HasBfloat16(const WorkerCapabilities& worker) {
  static constexpr absl::string_view kIsas[] = {"avx512_core_bf16", "avx512_core_fp16",
                                                "avx512_core_amx", "avx512_core_amx_fp16"};
  return std::find(std::begin(kIsas), std::end(kIsas), worker.isa) != std::end(kIsas);
}

}  // namespace

bool CanRun(const WorkerCapabilities& worker, const Placement& demand) {
  const bool device = demand.device == Device::kAny ||
                      std::find(worker.devices.begin(), worker.devices.end(), demand.device) !=
                          worker.devices.end();
  return device && demand.threads <= worker.threads && demand.memory_bytes <= worker.memory_bytes &&
         (!demand.bfloat16 || HasBfloat16(worker));
}

bool MatchesKey(const WorkerCapabilities& worker, const DeterminismKey& key) {
  return worker.onednn_version == key.onednn_version && worker.isa == key.isa &&
         key.threads <= worker.threads;
}

Choice ChooseJobs(const SchedulingSnapshot& snapshot, const WorkerCapabilities& worker, int count,
                  absl::Time now, absl::Duration same_key_wait) {
  Choice choice;
  choice.next = snapshot.next_eligible;
  std::vector<Candidate> candidates =
      Candidates(snapshot, worker, now, same_key_wait, &choice.next);
  std::map<std::string, int> running = snapshot.running_by_project;
  while (static_cast<int>(choice.picks.size()) < count) {
    Candidate* best = nullptr;
    const auto rank = [&](const Candidate& c) {
      return std::make_tuple(-c.job->priority, running[c.job->name.project], c.job->create_time,
                             c.job->name);
    };
    for (Candidate& candidate : candidates) {
      if (candidate.taken) continue;
      if (best == nullptr || rank(candidate) < rank(*best)) best = &candidate;
    }
    if (best == nullptr) break;
    best->taken = true;
    ++running[best->job->name.project];
    choice.picks.push_back({best->job->name, best->job->queue_time, best->bit_exact});
  }
  return choice;
}

AttemptOrder DecideOrder(const AttemptName& attempt, const absl::Status& status, StopReason stop,
                         bool has_outcome) {
  using Action = AttemptOrder::Action;
  using Reason = AttemptOrder::Reason;
  AttemptOrder order;
  order.job = attempt.job_name();
  order.attempt = attempt.attempt;
  order.action = has_outcome ? Action::kForget : Action::kContinue;
  if (!status.ok()) {
    order.action = has_outcome ? Action::kForget : Action::kStop;
    order.reason = absl::IsNotFound(status) ? Reason::kJobGone : Reason::kLeaseLost;
  } else if (has_outcome) {
    order.reason = Reason::kRecorded;
  } else if (stop != StopReason::kNone) {
    order.action = Action::kStop;
    order.reason = stop == StopReason::kCancelled ? Reason::kCancelled : Reason::kDeadlineExceeded;
  }
  return order;
}

}  // namespace topiary
