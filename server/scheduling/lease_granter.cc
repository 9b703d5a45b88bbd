#include "server/scheduling/lease_granter.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "server/scheduling/lease_policy.h"

namespace topiary {
namespace {

// How often to choose anew when other workers were faster.
constexpr int kRounds = 4;

// An answer is sent only if it has at most 4 MiB; one spec has at most 256 KiB.
constexpr size_t kMaxSpecBytes = 3 * 1024 * 1024;

bool IsFull(const Grants& grants) { return grants.spec_bytes >= kMaxSpecBytes; }

void Add(Job job, Grants* grants) {
  LeaseGrant grant;
  grant.lease = *job.lease;
  grant.job = std::move(job);
  grants->spec_bytes += grant.job.spec.size();
  grants->leases.push_back(std::move(grant));
}

}  // namespace

LeaseGranter::LeaseGranter(absl::Duration lease_duration, absl::Duration same_key_wait,
                           JobStore* store, std::function<std::string()> new_token,
                           SchedulerObserver* observer)
    : lease_duration_(lease_duration),
      same_key_wait_(same_key_wait),
      store_(store),
      new_token_(std::move(new_token)),
      observer_(observer) {}

absl::StatusOr<Grants> LeaseGranter::Grant(const WorkerReport& report, bool new_work,
                                           absl::Time now) {
  Grants grants;
  RETURN_IF_ERROR(GrantAgain(report, now, &grants));
  if (new_work) RETURN_IF_ERROR(GrantNew(report, now, &grants));
  return grants;
}

absl::StatusOr<std::vector<Job>> LeaseGranter::ListUnknown(const WorkerReport& report) {
  ASSIGN_OR_RETURN(std::vector<Job> held, store_->ListHeld(report.worker));
  const auto is_reported = [&](const Job& job) {
    return std::any_of(report.attempts.begin(), report.attempts.end(),
                       [&](const AttemptReport& attempt) {
                         return attempt.attempt.job_name() == job.name() &&
                                attempt.attempt.attempt == job.lease->attempt.attempt;
                       });
  };
  held.erase(std::remove_if(held.begin(), held.end(), is_reported), held.end());
  return held;
}

absl::Status LeaseGranter::End(const Job& job, AttemptOutcome::Kind kind, absl::Time now) {
  AttemptOutcome outcome;
  outcome.kind = kind;
  const absl::StatusOr<Job> after = store_->FinishAttempt(job.lease->attempt, outcome, now);
  // Lost in the meantime: then somebody else has seen to it.
  if (absl::IsAborted(after.status()) || absl::IsNotFound(after.status())) return absl::OkStatus();
  RETURN_IF_ERROR(after.status());
  observer_->OnAttemptFinished(*after, job.lease->attempt, job.lease->worker, kind);
  return absl::OkStatus();
}

absl::Status LeaseGranter::TakeBackUnknown(const WorkerReport& report, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<Job> unknown, ListUnknown(report));
  for (const Job& job : unknown) {
    RETURN_IF_ERROR(End(job, AttemptOutcome::Kind::kHandedBack, now));
  }
  return absl::OkStatus();
}

absl::Status LeaseGranter::GrantAgain(const WorkerReport& report, absl::Time now, Grants* grants) {
  ASSIGN_OR_RETURN(std::vector<Job> unknown, ListUnknown(report));
  for (Job& job : unknown) {
    if (job.stop != StopReason::kNone) {
      RETURN_IF_ERROR(End(job, AttemptOutcome::Kind::kCancelled, now));
      continue;
    }
    if (grants->leases.size() >= static_cast<size_t>(report.free_slots) || IsFull(*grants))
      continue;
    AttemptUpdate renewal;
    renewal.attempt = job.lease->attempt;
    renewal.expires_at = now + lease_duration_;
    ASSIGN_OR_RETURN(const std::vector<UpdateResult> renewed,
                     store_->RecordProgress({renewal}, now));
    if (!renewed[0].status.ok()) continue;
    job.lease->expires_at = renewed[0].expires_at;
    Add(std::move(job), grants);
  }
  return absl::OkStatus();
}

absl::Status LeaseGranter::GrantNew(const WorkerReport& report, absl::Time now, Grants* grants) {
  const size_t free_slots = static_cast<size_t>(std::max(0, report.free_slots));
  for (int round = 0; round < kRounds; ++round) {
    if (grants->leases.size() >= free_slots || IsFull(*grants)) break;
    ASSIGN_OR_RETURN(const bool others_were_faster,
                     AcquirePicks(report, free_slots - grants->leases.size(), now, grants));
    if (!others_were_faster) break;
    // If they are faster again and again, there may be more to be had a moment later.
    if (round == kRounds - 1) grants->next = now;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LeaseGranter::AcquirePicks(const WorkerReport& report, size_t room,
                                                absl::Time now, Grants* grants) {
  const int count = static_cast<int>(room);
  ASSIGN_OR_RETURN(const SchedulingSnapshot snapshot, store_->Snapshot(now, count));
  const Choice choice = ChooseJobs(snapshot, report.capabilities, count, now, same_key_wait_);
  grants->next = choice.next;
  bool others_were_faster = false;
  for (const Pick& pick : choice.picks) {
    if (IsFull(*grants)) break;
    absl::StatusOr<Job> job = store_->Acquire(pick.job, report.worker, new_token_(),
                                              now + lease_duration_, pick.bit_exact, now);
    if (absl::IsAborted(job.status()) || absl::IsNotFound(job.status())) {
      others_were_faster = true;
      continue;
    }
    RETURN_IF_ERROR(job.status());
    observer_->OnLeaseGranted(*job->lease, now - pick.queue_time);
    Add(*std::move(job), grants);
  }
  return others_were_faster;
}

}  // namespace topiary
