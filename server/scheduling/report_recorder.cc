#include "server/scheduling/report_recorder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/status_reason.h"
#include "server/scheduling/lease_policy.h"

namespace topiary {
namespace {

// An answer about the attempt, rather than a failure to answer.
bool IsVerdict(const absl::Status& status) {
  return status.ok() || absl::IsAborted(status) || absl::IsNotFound(status);
}

}  // namespace

absl::StatusOr<std::vector<AttemptOrder>> ReportRecorder::Record(const WorkerReport& report,
                                                                 absl::Time now) {
  std::vector<AttemptOrder> orders;
  if (report.attempts.empty()) return orders;
  ASSIGN_OR_RETURN(const std::vector<UpdateResult> results, Renew(report, now));
  for (size_t i = 0; i < report.attempts.size(); ++i) {
    const AttemptReport& attempt = report.attempts[i];
    absl::Status status = results[i].status;
    if (status.ok() && attempt.checkpoint.has_value()) status = RecordCheckpoint(attempt, now);
    // Also when the attempt is not running any more: the outcome may be recorded already.
    if (IsVerdict(status) && attempt.outcome.has_value()) {
      status = RecordOutcome(report.worker, attempt, now);
    }
    if (!IsVerdict(status)) return status;
    if (!status.ok()) observer_->OnLeaseRefused(attempt.attempt, report.worker);
    orders.push_back(
        DecideOrder(attempt.attempt, status, results[i].stop, attempt.outcome.has_value()));
  }
  return orders;
}

absl::StatusOr<std::vector<UpdateResult>> ReportRecorder::Renew(const WorkerReport& report,
                                                                absl::Time now) {
  std::vector<AttemptUpdate> updates;
  for (const AttemptReport& attempt : report.attempts) {
    AttemptUpdate update;
    update.attempt = attempt.attempt;
    update.expires_at = now + lease_duration_;
    update.progress = attempt.progress;
    update.determinism_key = attempt.determinism_key;
    updates.push_back(std::move(update));
  }
  ASSIGN_OR_RETURN(std::vector<UpdateResult> results, store_->RecordProgress(updates, now));
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].status.ok()) observer_->OnLeaseRenewed(updates[i].attempt);
  }
  return results;
}

absl::Status ReportRecorder::RecordCheckpoint(const AttemptReport& report, absl::Time now) {
  const absl::Status status = store_->RecordCheckpoint(report.attempt, *report.checkpoint, now);
  // The artifact was dropped before it was reported, as after a long stop of the coordinator. The
  // attempt loses nothing: its next checkpoint takes the place.
  if (ReasonOf(status) == kReasonArtifactMissing) return absl::OkStatus();
  return status;
}

absl::Status ReportRecorder::RecordOutcome(const std::string& worker, const AttemptReport& report,
                                           absl::Time now) {
  AttemptOutcome outcome = *report.outcome;
  absl::StatusOr<Job> job = store_->FinishAttempt(report.attempt, outcome, now);
  if (ReasonOf(job.status()) == kReasonArtifactMissing) {
    // A result without its files is none. Repeating the report would not bring them back.
    outcome = AttemptOutcome();
    outcome.kind = AttemptOutcome::Kind::kFailed;
    outcome.failure = {absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("the attempt reported a result whose files are not stored: ",
                                    job.status().message())};
    job = store_->FinishAttempt(report.attempt, outcome, now);
  }
  RETURN_IF_ERROR(job.status());
  observer_->OnAttemptFinished(*job, report.attempt, worker, outcome.kind);
  return absl::OkStatus();
}

}  // namespace topiary
