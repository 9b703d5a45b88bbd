#include "server/jobs/job.h"

namespace topiary {

absl::string_view JobStateName(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

absl::string_view JobReasonName(JobReason reason) {
  switch (reason) {
    case JobReason::kNone:
      return "UNSPECIFIED";
    case JobReason::kSubmitted:
      return "SUBMITTED";
    case JobReason::kLeased:
      return "LEASED";
    case JobReason::kAttemptFailed:
      return "ATTEMPT_FAILED";
    case JobReason::kLeaseLost:
      return "LEASE_LOST";
    case JobReason::kHandedBack:
      return "HANDED_BACK";
    case JobReason::kCompleted:
      return "COMPLETED";
    case JobReason::kWorkFailed:
      return "WORK_FAILED";
    case JobReason::kAttemptsExhausted:
      return "ATTEMPTS_EXHAUSTED";
    case JobReason::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case JobReason::kAccuracyBound:
      return "ACCURACY_BOUND";
    case JobReason::kCancelRequested:
      return "CANCEL_REQUESTED";
    case JobReason::kChildrenRunning:
      return "CHILDREN_RUNNING";
    case JobReason::kChildrenFailed:
      return "CHILDREN_FAILED";
  }
  return "UNKNOWN";
}

}  // namespace topiary
