#include "server/scheduling/lease_policy.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

namespace topiary {
namespace {

// From lowest to highest; each covers those before it, but see CoversIsa.
constexpr std::array<absl::string_view, 10> kIsas = {
    "sse41",
    "avx",
    "avx2",
    "avx2_vnni",
    "avx512_core",
    "avx512_core_vnni",
    "avx512_core_bf16",
    "avx512_core_fp16",
    "avx512_core_amx",
    "avx512_core_amx_fp16",
};

int RankOf(absl::string_view isa) {
  const auto it = std::find(kIsas.begin(), kIsas.end(), isa);
  return it == kIsas.end() ? -1 : static_cast<int>(it - kIsas.begin());
}

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

}  // namespace

bool CoversIsa(absl::string_view worker_isa, absl::string_view isa) {
  if (worker_isa == isa) return true;
  const int have = RankOf(worker_isa);
  const int want = RankOf(isa);
  if (have < 0 || want < 0) return false;
  // AVX-VNNI is a branch of its own: the first AVX-512 processors do not have it.
  if (isa == "avx2_vnni") return have >= RankOf("avx512_core_fp16");
  return have > want;
}

bool CanRun(const WorkerCapabilities& worker, const Placement& demand) {
  const bool device = demand.device == Device::kAny ||
                      std::find(worker.devices.begin(), worker.devices.end(), demand.device) !=
                          worker.devices.end();
  return device && demand.threads <= worker.threads && demand.memory_bytes <= worker.memory_bytes;
}

bool MatchesKey(const WorkerCapabilities& worker, const DeterminismKey& key) {
  return worker.onednn_version == key.onednn_version && CoversIsa(worker.isa, key.isa) &&
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
