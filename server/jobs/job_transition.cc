#include "server/jobs/job_transition.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

JobEvent NextEvent(Job* job, JobEvent::Kind kind, absl::Time now) {
  JobEvent event;
  event.sequence = ++job->last_sequence;
  event.time = now;
  event.kind = kind;
  event.state = job->state;
  event.reason = job->reason;
  event.attempt = job->last_attempt;
  if (job->lease.has_value()) event.worker = job->lease->worker;
  return event;
}

// Changes state and reason, and the times that go with them.
void Move(Job* job, JobState state, JobReason reason, absl::Time now) {
  job->state = state;
  job->reason = reason;
  job->update_time = now;
  if (state != JobState::kRunning) job->lease.reset();
  if (IsTerminal(state)) {
    job->end_time = now;
    job->eligible_time = absl::UnixEpoch();
  }
}

void Requeue(Job* job, JobReason reason, absl::Duration backoff, absl::Time now) {
  Move(job, JobState::kQueued, reason, now);
  job->queue_time = now;
  job->eligible_time = now + backoff;
}

void FailPastDeadline(Job* job, absl::Time now) {
  Move(job, JobState::kFailed, JobReason::kDeadlineExceeded, now);
  job->failure = {absl::StatusCode::kDeadlineExceeded,
                  absl::StrCat("the job did not end before its deadline, ",
                               absl::FormatTime(job->deadline, absl::UTCTimeZone()))};
}

// What becomes of a job whose attempt ended without success: queued again for `reason`, or failed.
void AfterAttempt(Job* job, JobReason reason, absl::Time now) {
  if (job->stop == StopReason::kCancelled) {
    job->failure = {};
    Move(job, JobState::kCancelled, JobReason::kCancelRequested, now);
  } else if (job->stop == StopReason::kDeadline) {
    FailPastDeadline(job, now);
  } else if (reason == JobReason::kHandedBack) {
    Requeue(job, reason, absl::ZeroDuration(), now);
  } else if (job->attempts_spent >= job->retry.max_attempts) {
    Move(job, JobState::kFailed, JobReason::kAttemptsExhausted, now);
  } else {
    Requeue(job, reason, Backoff(job->retry, job->attempts_spent), now);
  }
}

void Succeed(Job* job, const AttemptOutcome& outcome, absl::Time now) {
  Move(job, JobState::kSucceeded, JobReason::kCompleted, now);
  job->failure = {};
  job->result = outcome.result;
  job->outputs = outcome.outputs;
}

void Fail(Job* job, const AttemptOutcome& outcome, absl::Time now) {
  // What was asked for before counts: a client's cancellation, or the deadline.
  if (outcome.retryable || job->stop != StopReason::kNone) {
    AfterAttempt(job, JobReason::kAttemptFailed, now);
    return;
  }
  Move(job, JobState::kFailed, outcome.reason, now);
  job->result = outcome.result;
  job->outputs = outcome.outputs;
}

void FailSweep(Job* sweep, const Failure& failure, absl::Time now) {
  if (sweep->deadline <= now) return FailPastDeadline(sweep, now);
  Move(sweep, JobState::kFailed, JobReason::kChildrenFailed, now);
  sweep->failure = {
      failure.failed() ? failure.code : absl::StatusCode::kFailedPrecondition,
      absl::StrCat("none of the ", sweep->children, " children succeeded",
                   failure.failed() ? "; one says: " : ": see their errors", failure.message)};
}

// The event of an attempt that just ended; `worker` held it.
JobEvent EndEvent(Job* job, const Attempt& attempt, absl::Time now) {
  JobEvent event = NextEvent(job, JobEvent::Kind::kState, now);
  event.worker = attempt.worker;
  event.failure = job->state == JobState::kSucceeded ? Failure() : job->failure;
  return event;
}

}  // namespace

bool CanMove(JobState from, JobState to) {
  switch (from) {
    case JobState::kQueued:
      return to == JobState::kRunning || to == JobState::kCancelled || to == JobState::kFailed;
    case JobState::kRunning:
      return to != JobState::kRunning;
    default:
      return false;
  }
}

absl::Duration Backoff(const RetryPolicy& policy, int attempts_spent) {
  absl::Duration backoff = policy.initial_backoff;
  for (int i = 1; i < attempts_spent && backoff < policy.maximum_backoff; ++i) backoff *= 2;
  return std::min(backoff, policy.maximum_backoff);
}

absl::Status CheckCurrent(const Job& job, const AttemptName& attempt) {
  if (job.state == JobState::kRunning && job.lease.has_value() &&
      job.lease->attempt.attempt == attempt.attempt && job.lease->attempt.token == attempt.token) {
    return absl::OkStatus();
  }
  return WithReason(absl::AbortedError(absl::StrCat(
                        "attempt ", attempt.attempt, " of ", ToString(job.name()),
                        " is not the running one (the job is ", JobStateName(job.state),
                        ", attempt ", job.last_attempt, "): drop it")),
                    kReasonStaleAttempt);
}

JobEvent Submit(Job* job, absl::Time now) {
  Job clean;
  clean.project = job->project;
  clean.id = job->id;
  clean.uid = job->uid;
  clean.request_id = job->request_id;
  clean.request_digest = job->request_digest;
  clean.spec = job->spec;
  clean.spec_digest = job->spec_digest;
  clean.labels = job->labels;
  clean.priority = job->priority;
  clean.placement = job->placement;
  clean.retry = job->retry;
  clean.deadline = job->deadline;
  clean.keep_checkpoints = job->keep_checkpoints;
  clean.parent = job->parent;
  clean.children = job->children;
  clean.inputs = job->inputs;
  clean.reason = JobReason::kSubmitted;
  clean.create_time = clean.update_time = clean.queue_time = clean.eligible_time = now;
  *job = std::move(clean);
  return NextEvent(job, JobEvent::Kind::kState, now);
}

absl::StatusOr<Started> Start(Job* job, const std::string& worker, const std::string& token,
                              absl::Time expires_at, bool bit_exact, absl::Time now) {
  if (job->is_sweep()) {
    return absl::AbortedError(
        absl::StrCat(ToString(job->name()), " cannot be leased: it is a sweep; its children can"));
  }
  if (job->state != JobState::kQueued || job->eligible_time > now) {
    return absl::AbortedError(
        absl::StrCat(ToString(job->name()), " cannot be leased: it is ", JobStateName(job->state),
                     job->state == JobState::kQueued ? ", in back-off" : "", "; choose another"));
  }
  Move(job, JobState::kRunning, JobReason::kLeased, now);
  if (job->last_attempt == 0) job->start_time = now;
  ++job->last_attempt;
  job->bit_exact = job->bit_exact && bit_exact;
  job->lease =
      Lease{{job->project, job->id, job->last_attempt, token}, worker, expires_at, bit_exact};
  Started started;
  started.attempt.number = job->last_attempt;
  started.attempt.worker = worker;
  started.attempt.token = token;
  started.attempt.bit_exact = bit_exact;
  started.attempt.start_time = now;
  started.event = NextEvent(job, JobEvent::Kind::kState, now);
  return started;
}

std::optional<JobEvent> Cancel(Job* job, absl::Time now) {
  if (IsTerminal(job->state) || job->stop != StopReason::kNone) return std::nullopt;
  if (job->is_sweep() && job->child_counts.all_ended()) return std::nullopt;
  job->stop = StopReason::kCancelled;
  if (job->is_sweep()) {
    Move(job, job->state, JobReason::kCancelRequested, now);
  } else if (job->state == JobState::kQueued) {
    job->failure = {};
    Move(job, JobState::kCancelled, JobReason::kCancelRequested, now);
  } else {
    Move(job, JobState::kRunning, JobReason::kCancelRequested, now);
  }
  return NextEvent(job, JobEvent::Kind::kState, now);
}

std::optional<JobEvent> PassDeadline(Job* job, absl::Time now) {
  if (IsTerminal(job->state) || job->stop != StopReason::kNone || job->deadline > now) {
    return std::nullopt;
  }
  job->stop = StopReason::kDeadline;
  if (job->state == JobState::kQueued) {
    FailPastDeadline(job, now);
  } else {
    Move(job, JobState::kRunning, JobReason::kDeadlineExceeded, now);
  }
  JobEvent event = NextEvent(job, JobEvent::Kind::kState, now);
  event.failure = job->failure;
  return event;
}

std::vector<JobEvent> FollowChild(Job* sweep, const Job& child, absl::Time now) {
  std::vector<JobEvent> events;
  if (sweep->state == JobState::kQueued && child.state == JobState::kRunning) {
    Move(sweep, JobState::kRunning, JobReason::kChildrenRunning, now);
    sweep->start_time = now;
    events.push_back(NextEvent(sweep, JobEvent::Kind::kState, now));
  }
  if (!IsTerminal(child.state)) return events;
  events.push_back(CountChildren(sweep, now));
  if (sweep->child_counts.all_ended() && sweep->child_counts.succeeded == 0) {
    events.push_back(EndSweep(sweep, child.failure, now));
  }
  return events;
}

JobEvent CountChildren(Job* sweep, absl::Time now) {
  JobEvent event = NextEvent(sweep, JobEvent::Kind::kChildren, now);
  event.children_ended = sweep->child_counts.ended();
  event.children = sweep->children;
  return event;
}

JobEvent EndSweep(Job* sweep, const Failure& failure, absl::Time now) {
  const ChildCounts& counts = sweep->child_counts;
  const bool stopped = sweep->stop == StopReason::kCancelled && counts.cancelled > 0;
  if (stopped || counts.succeeded + counts.failed == 0) {
    Move(sweep, JobState::kCancelled, JobReason::kCancelRequested, now);
  } else if (counts.succeeded > 0) {
    Move(sweep, JobState::kSucceeded, JobReason::kCompleted, now);
  } else {
    FailSweep(sweep, failure, now);
  }
  JobEvent event = NextEvent(sweep, JobEvent::Kind::kState, now);
  event.failure = sweep->failure;
  return event;
}

AttemptState EndState(AttemptOutcome::Kind kind) {
  switch (kind) {
    case AttemptOutcome::Kind::kSucceeded:
      return AttemptState::kSucceeded;
    case AttemptOutcome::Kind::kFailed:
      return AttemptState::kFailed;
    case AttemptOutcome::Kind::kCancelled:
      return AttemptState::kCancelled;
    case AttemptOutcome::Kind::kHandedBack:
      return AttemptState::kHandedBack;
  }
  return AttemptState::kFailed;
}

JobEvent Finish(Job* job, Attempt* attempt, const AttemptOutcome& outcome, absl::Time now) {
  attempt->state = EndState(outcome.kind);
  attempt->end_time = now;
  switch (outcome.kind) {
    case AttemptOutcome::Kind::kSucceeded:
      Succeed(job, outcome, now);
      break;
    case AttemptOutcome::Kind::kFailed:
      attempt->failure = job->failure = outcome.failure;
      ++job->attempts_spent;
      Fail(job, outcome, now);
      break;
    case AttemptOutcome::Kind::kCancelled:
      if (job->stop == StopReason::kNone) {
        ++job->attempts_spent;
        attempt->failure = job->failure = {absl::StatusCode::kInternal,
                                           "the worker stopped without having been told to"};
      }
      AfterAttempt(job, JobReason::kAttemptFailed, now);
      break;
    case AttemptOutcome::Kind::kHandedBack:
      AfterAttempt(job, JobReason::kHandedBack, now);
      break;
  }
  return EndEvent(job, *attempt, now);
}

JobEvent LoseLease(Job* job, Attempt* attempt, absl::Time now) {
  attempt->state = AttemptState::kLost;
  attempt->end_time = now;
  attempt->failure = job->failure = {
      absl::StatusCode::kAborted,
      absl::StrCat("worker ", attempt->worker, " was not heard of for a lease length")};
  ++job->attempts_spent;
  AfterAttempt(job, JobReason::kLeaseLost, now);
  return EndEvent(job, *attempt, now);
}

std::optional<JobEvent> Progress(Job* job, const std::string& progress, absl::Time now) {
  job->progress = progress;
  if (now - job->last_progress_event < kProgressEventInterval) return std::nullopt;
  job->last_progress_event = now;
  ++job->progress_events;
  JobEvent event = NextEvent(job, JobEvent::Kind::kProgress, now);
  event.progress = progress;
  return event;
}

}  // namespace topiary
