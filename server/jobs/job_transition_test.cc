#include "server/jobs/job_transition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

const absl::Time kT0 = absl::FromUnixSeconds(1000);

Job Queued() {
  Job job;
  job.project = "p";
  job.id = "j";
  Submit(&job, kT0);
  return job;
}

// A job in its first attempt, which `attempt` records.
Job Running(Attempt* attempt) {
  Job job = Queued();
  auto started = Start(&job, "w", "token", kT0 + absl::Seconds(30), true, kT0);
  EXPECT_OK(started);
  *attempt = started->attempt;
  return job;
}

AttemptOutcome Failed(bool retryable) {
  AttemptOutcome outcome;
  outcome.kind = AttemptOutcome::Kind::kFailed;
  outcome.failure = {absl::StatusCode::kInternal, "it broke"};
  outcome.retryable = retryable;
  return outcome;
}

AttemptOutcome Of(AttemptOutcome::Kind kind) {
  AttemptOutcome outcome;
  outcome.kind = kind;
  return outcome;
}

TEST(JobTransition, OnlyLegalMovesAreAllowed) {
  using S = JobState;
  const std::vector<S> all = {S::kQueued, S::kRunning, S::kSucceeded, S::kFailed, S::kCancelled};
  const std::set<std::pair<S, S>> legal = {
      {S::kQueued, S::kRunning},    {S::kQueued, S::kFailed},  {S::kQueued, S::kCancelled},
      {S::kRunning, S::kQueued},    {S::kRunning, S::kFailed}, {S::kRunning, S::kCancelled},
      {S::kRunning, S::kSucceeded},
  };
  for (S from : all) {
    for (S to : all) {
      EXPECT_EQ(CanMove(from, to), legal.count({from, to}) == 1)
          << JobStateName(from) << " -> " << JobStateName(to);
    }
  }
}

TEST(JobTransition, SubmitResetsWhatAClientDoesNotChoose) {
  Job job;
  job.project = "p";
  job.id = "j";
  job.priority = 7;
  job.state = JobState::kSucceeded;
  job.last_attempt = 9;
  job.last_sequence = 44;
  job.result = "forged";
  job.outputs = {{"d", "model"}};
  const JobEvent event = Submit(&job, kT0);
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.priority, 7);
  EXPECT_EQ(job.last_attempt, 0);
  EXPECT_EQ(job.result, "");
  EXPECT_TRUE(job.outputs.empty());
  EXPECT_EQ(job.create_time, kT0);
  EXPECT_EQ(event.sequence, 1);
  EXPECT_EQ(event.reason, JobReason::kSubmitted);
}

struct BackoffCase {
  int attempts_spent;
  int seconds;
};
class BackoffTest : public testing::TestWithParam<BackoffCase> {};

TEST_P(BackoffTest, DoublesUpToTheMaximum) {
  RetryPolicy policy;
  policy.initial_backoff = absl::Seconds(2);
  policy.maximum_backoff = absl::Seconds(15);
  EXPECT_EQ(Backoff(policy, GetParam().attempts_spent), absl::Seconds(GetParam().seconds));
}
INSTANTIATE_TEST_SUITE_P(All, BackoffTest,
                         testing::Values(BackoffCase{1, 2}, BackoffCase{2, 4}, BackoffCase{3, 8},
                                         BackoffCase{4, 15}, BackoffCase{1000000, 15}));

TEST(JobTransition, AZeroBackoffStaysZeroForAnyNumberOfAttempts) {
  RetryPolicy policy;
  policy.initial_backoff = absl::ZeroDuration();
  EXPECT_EQ(Backoff(policy, 100), absl::ZeroDuration());
}

TEST(JobTransition, AStartedAttemptHasTheNextFencingNumberAndALease) {
  Attempt attempt;
  const Job job = Running(&attempt);
  EXPECT_EQ(attempt.number, 1);
  EXPECT_EQ(job.state, JobState::kRunning);
  ASSERT_TRUE(job.lease.has_value());
  EXPECT_EQ(job.lease->attempt.attempt, 1);
  EXPECT_EQ(job.lease->worker, "w");
  EXPECT_EQ(job.start_time, kT0);
}

TEST(JobTransition, ARunningJobCannotBeStartedAgain) {
  Attempt attempt;
  Job job = Running(&attempt);
  EXPECT_THAT(Start(&job, "v", "t", kT0, true, kT0), StatusIs(absl::StatusCode::kAborted));
}

TEST(JobTransition, AJobInBackoffCannotBeStarted) {
  Attempt attempt;
  Job job = Running(&attempt);
  Finish(&job, &attempt, Failed(true), kT0);
  EXPECT_THAT(Start(&job, "v", "t", kT0, true, job.eligible_time - absl::Microseconds(1)),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK(Start(&job, "v", "t", kT0, true, job.eligible_time));
  EXPECT_EQ(job.last_attempt, 2);
}

// Every way an attempt can end, with and without a mark to stop.
struct EndCase {
  const char* name;
  AttemptOutcome outcome;
  StopReason stop;
  int max_attempts;
  JobState state;
  JobReason reason;
  int attempts_spent;
};
class AttemptEnd : public testing::TestWithParam<EndCase> {};

TEST_P(AttemptEnd, DecidesTheJobsState) {
  const EndCase& c = GetParam();
  Attempt attempt;
  Job job = Running(&attempt);
  job.retry.max_attempts = c.max_attempts;
  job.stop = c.stop;
  const int64_t before = job.last_sequence;
  const absl::Time end = kT0 + absl::Seconds(5);
  const JobEvent event = Finish(&job, &attempt, c.outcome, end);
  EXPECT_EQ(job.state, c.state);
  EXPECT_EQ(job.reason, c.reason);
  EXPECT_EQ(job.attempts_spent, c.attempts_spent);
  EXPECT_EQ(attempt.state, EndState(c.outcome.kind));
  EXPECT_EQ(attempt.end_time, end);
  EXPECT_FALSE(job.lease.has_value());
  EXPECT_EQ(event.sequence, before + 1);
  EXPECT_EQ(event.state, c.state);
  EXPECT_EQ(event.worker, "w");
  EXPECT_EQ(job.end_time, IsTerminal(c.state) ? end : absl::InfiniteFuture());
}

using Kind = AttemptOutcome::Kind;
INSTANTIATE_TEST_SUITE_P(
    All, AttemptEnd,
    testing::Values(EndCase{"Success", Of(Kind::kSucceeded), StopReason::kNone, 3,
                            JobState::kSucceeded, JobReason::kCompleted, 0},
                    EndCase{"SuccessThatCameBeforeTheCancelWasSeen", Of(Kind::kSucceeded),
                            StopReason::kCancelled, 3, JobState::kSucceeded, JobReason::kCompleted,
                            0},
                    EndCase{"RetryableFailure", Failed(true), StopReason::kNone, 3,
                            JobState::kQueued, JobReason::kAttemptFailed, 1},
                    EndCase{"RetryableFailureOfTheLastAttempt", Failed(true), StopReason::kNone, 1,
                            JobState::kFailed, JobReason::kAttemptsExhausted, 1},
                    EndCase{"FinalFailure", Failed(false), StopReason::kNone, 3, JobState::kFailed,
                            JobReason::kWorkFailed, 1},
                    EndCase{"FailureOfACancelledJob", Failed(true), StopReason::kCancelled, 3,
                            JobState::kCancelled, JobReason::kCancelRequested, 1},
                    EndCase{"FailurePastTheDeadline", Failed(true), StopReason::kDeadline, 3,
                            JobState::kFailed, JobReason::kDeadlineExceeded, 1},
                    EndCase{"HandBack", Of(Kind::kHandedBack), StopReason::kNone, 1,
                            JobState::kQueued, JobReason::kHandedBack, 0},
                    EndCase{"HandBackOfACancelledJob", Of(Kind::kHandedBack),
                            StopReason::kCancelled, 3, JobState::kCancelled,
                            JobReason::kCancelRequested, 0},
                    EndCase{"StoppedForACancel", Of(Kind::kCancelled), StopReason::kCancelled, 3,
                            JobState::kCancelled, JobReason::kCancelRequested, 0},
                    EndCase{"StoppedForTheDeadline", Of(Kind::kCancelled), StopReason::kDeadline, 3,
                            JobState::kFailed, JobReason::kDeadlineExceeded, 0},
                    EndCase{"StoppedUnasked", Of(Kind::kCancelled), StopReason::kNone, 3,
                            JobState::kQueued, JobReason::kAttemptFailed, 1}),
    [](const auto& info) { return info.param.name; });

TEST(JobTransition, AFailureMayHaveAReasonAndAResultOfItsOwn) {
  Attempt attempt;
  Job job = Running(&attempt);
  AttemptOutcome outcome = Failed(false);
  outcome.reason = JobReason::kAccuracyBound;
  outcome.result = "report";
  outcome.outputs = {{std::string(64, 'a'), "report"}};
  const JobEvent event = Finish(&job, &attempt, outcome, kT0);
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason, JobReason::kAccuracyBound);
  EXPECT_EQ(event.reason, JobReason::kAccuracyBound);
  EXPECT_EQ(job.result, "report");
  EXPECT_EQ(job.outputs, outcome.outputs);
  job = Running(&attempt);
  job.stop = StopReason::kCancelled;
  Finish(&job, &attempt, outcome, kT0);
  EXPECT_EQ(job.state, JobState::kCancelled) << "what was asked for before counts";
  EXPECT_EQ(job.result, "");
}

TEST(JobTransition, AHandBackIsEligibleAtOnceAFailureAfterItsBackoff) {
  Attempt attempt;
  Job job = Running(&attempt);
  Finish(&job, &attempt, Of(Kind::kHandedBack), kT0);
  EXPECT_EQ(job.eligible_time, kT0);
  job = Running(&attempt);
  Finish(&job, &attempt, Failed(true), kT0);
  EXPECT_EQ(job.eligible_time, kT0 + job.retry.initial_backoff);
}

TEST(JobTransition, ALostLeaseSpendsARetryAndTheLastOneFailsTheJob) {
  Attempt attempt;
  Job job = Running(&attempt);
  job.retry.max_attempts = 2;
  LoseLease(&job, &attempt, kT0);
  EXPECT_EQ(attempt.state, AttemptState::kLost);
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.reason, JobReason::kLeaseLost);
  ASSERT_OK_AND_ASSIGN(Started second, Start(&job, "v", "t2", kT0, true, kT0 + absl::Minutes(1)));
  const JobEvent event = LoseLease(&job, &second.attempt, kT0 + absl::Minutes(2));
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason, JobReason::kAttemptsExhausted);
  EXPECT_EQ(event.failure.code, absl::StatusCode::kAborted);
}

TEST(JobTransition, CancellingTwiceIsOneEvent) {
  Attempt attempt;
  Job job = Running(&attempt);
  EXPECT_TRUE(Cancel(&job, kT0).has_value());
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.stop, StopReason::kCancelled);
  EXPECT_FALSE(Cancel(&job, kT0).has_value());
}

TEST(JobTransition, ACancelledJobPastItsDeadlineStaysCancelled) {
  Attempt attempt;
  Job job = Running(&attempt);
  job.deadline = kT0 + absl::Seconds(1);
  Cancel(&job, kT0);
  EXPECT_FALSE(PassDeadline(&job, kT0 + absl::Hours(1)).has_value());
  EXPECT_EQ(job.stop, StopReason::kCancelled);
}

TEST(JobTransition, TheDeadlineFailsAQueuedJobAndMarksARunningOne) {
  Job queued = Queued();
  queued.deadline = kT0 + absl::Seconds(1);
  EXPECT_FALSE(PassDeadline(&queued, kT0).has_value());
  const auto event = PassDeadline(&queued, kT0 + absl::Seconds(1));
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->failure.code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queued.state, JobState::kFailed);

  Attempt attempt;
  Job running = Running(&attempt);
  running.deadline = kT0;
  EXPECT_TRUE(PassDeadline(&running, kT0).has_value());
  EXPECT_EQ(running.state, JobState::kRunning);
  EXPECT_EQ(running.stop, StopReason::kDeadline);
}

TEST(JobTransition, OnlyTheCurrentAttemptWithItsTokenIsCurrent) {
  Attempt attempt;
  Job job = Running(&attempt);
  const AttemptName right = job.lease->attempt;
  EXPECT_OK(CheckCurrent(job, right));
  AttemptName other_number = right;
  other_number.attempt = 2;
  AttemptName other_token = right;
  other_token.token = "guess";
  for (const AttemptName& wrong : {other_number, other_token}) {
    const absl::Status status = CheckCurrent(job, wrong);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
    EXPECT_EQ(ReasonOf(status), kReasonStaleAttempt);
  }
  Finish(&job, &attempt, Of(Kind::kSucceeded), kT0);
  EXPECT_THAT(CheckCurrent(job, right), StatusIs(absl::StatusCode::kAborted));
}

TEST(JobTransition, ProgressIsAnEventAtMostOnceASecondAndAlwaysTheLatest) {
  Attempt attempt;
  Job job = Running(&attempt);
  EXPECT_TRUE(Progress(&job, "a", kT0).has_value());
  EXPECT_FALSE(Progress(&job, "b", kT0 + absl::Milliseconds(999)).has_value());
  EXPECT_EQ(job.progress, "b");
  EXPECT_TRUE(Progress(&job, "c", kT0 + absl::Seconds(1)).has_value());
  EXPECT_EQ(job.progress_events, 2);
}

TEST(StatusReason, ReasonAndMetadataTravelWithTheStatus) {
  const absl::Status status =
      WithMetadata(WithReason(absl::AbortedError("x"), "WHY"), "committedBytes", "17");
  EXPECT_EQ(ReasonOf(status), "WHY");
  EXPECT_THAT(MetadataOf(status), testing::ElementsAre(testing::Pair("committedBytes", "17")));
  EXPECT_EQ(ReasonOf(absl::AbortedError("x")), "");
}

}  // namespace
}  // namespace topiary
