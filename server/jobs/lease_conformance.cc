// What every JobStore must do about attempts, leases and outcomes.

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LeaseConformance);

using testing::IsEmpty;
using testing::SizeIs;

TEST_P(LeaseConformance, AnAttemptIsGivenOnce) {
  Insert("j");
  const AttemptName attempt = Acquire("j", "a");
  EXPECT_EQ(attempt.attempt, 1);
  EXPECT_THAT(store_->Acquire({"p", "j"}, "b", "t", now(), true, now()),
              StatusIs(absl::StatusCode::kAborted));
  ASSERT_OK_AND_ASSIGN(const std::vector<Job> held, store_->ListHeld("a"));
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].id, "j");
  EXPECT_EQ(held[0].lease->attempt.token, attempt.token);
  EXPECT_THAT(*store_->ListHeld("b"), IsEmpty());
}

TEST_P(LeaseConformance, RenewalMovesTheExpiryAndNeverBack) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  AttemptUpdate update;
  update.attempt = attempt;
  update.expires_at = now() + absl::Seconds(90);
  ASSERT_OK(store_->RecordProgress({update}, now()));
  update.expires_at = now() + absl::Seconds(10);
  ASSERT_OK_AND_ASSIGN(const auto results, store_->RecordProgress({update}, now()));
  EXPECT_EQ(results[0].expires_at, now() + absl::Seconds(90));
  EXPECT_THAT(*store_->ReclaimExpired(now() + absl::Seconds(90), 10), IsEmpty());
  EXPECT_THAT(*store_->ReclaimExpired(now() + absl::Seconds(91), 10), SizeIs(1));
}

TEST_P(LeaseConformance, ALostLeaseIsAbortedEverywhere) {
  Insert("j");
  const AttemptName lost = Acquire("j", "a");
  clock_.Advance(absl::Seconds(31));
  ASSERT_OK_AND_ASSIGN(const auto moved, store_->ReclaimExpired(now(), 10));
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved[0].worker, "a");
  EXPECT_EQ(moved[0].attempt, 1);
  EXPECT_EQ(moved[0].state, JobState::kQueued);
  clock_.Advance(absl::Seconds(2));
  const AttemptName second = Acquire("j", "b");
  EXPECT_EQ(second.attempt, 2);
  const auto stale = StatusIs(absl::StatusCode::kAborted);
  EXPECT_THAT(Report(lost, "late").status, stale);
  EXPECT_EQ(ReasonOf(Report(lost, "late").status), kReasonStaleAttempt);
  EXPECT_THAT(RecordCheckpoint(lost, 5, 100), stale);
  EXPECT_THAT(store_->FinishAttempt(lost, Succeeded(), now()), stale);
  EXPECT_EQ(Get("j").progress, "");
  EXPECT_OK(store_->FinishAttempt(second, Succeeded(), now()));
}

TEST_P(LeaseConformance, ALapsedLeaseThatWasNotReclaimedGoesOn) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  clock_.Advance(absl::Hours(1));  // as after a long stop of the coordinator
  EXPECT_OK(Report(attempt, "still here").status);
  EXPECT_THAT(*store_->ReclaimExpired(now(), 10), IsEmpty());
}

TEST_P(LeaseConformance, ReclaimTakesNoMoreThanItsLimit) {
  for (const char* id : {"a", "b", "c"}) {
    Insert(id);
    Acquire(id);
  }
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(*store_->ReclaimExpired(now(), 2), SizeIs(2));
  EXPECT_THAT(*store_->ReclaimExpired(now(), 2), SizeIs(1));
  EXPECT_THAT(*store_->ReclaimExpired(now(), 2), IsEmpty());
}

TEST_P(LeaseConformance, LostAttemptsAreExhaustedAndThenTheJobFails) {
  Job job = NewJob("j");
  job.retry.max_attempts = 2;
  Insert(job);
  Acquire("j");
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK(store_->ReclaimExpired(now(), 10));
  clock_.Advance(absl::Minutes(1));
  Acquire("j");
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const auto moved, store_->ReclaimExpired(now(), 10));
  EXPECT_EQ(moved.at(0).state, JobState::kFailed);
  EXPECT_EQ(Get("j").reason, JobReason::kAttemptsExhausted);
  EXPECT_EQ(Get("j").failure.code, absl::StatusCode::kAborted);
}

TEST_P(LeaseConformance, ADrainSpendsNoRetry) {
  Job job = NewJob("j");
  job.retry.max_attempts = 1;
  Insert(job);
  for (int i = 1; i <= 5; ++i) {
    const AttemptName attempt = Acquire("j", absl::StrCat("w", i));
    EXPECT_EQ(attempt.attempt, i);
    ASSERT_OK_AND_ASSIGN(const Job after, store_->FinishAttempt(attempt, HandedBack(), now()));
    EXPECT_EQ(after.state, JobState::kQueued);
    EXPECT_EQ(after.attempts_spent, 0);
  }
}

TEST_P(LeaseConformance, AFailedAttemptWaitsForItsBackoff) {
  Insert("j");
  ASSERT_OK(store_->FinishAttempt(Acquire("j"), Failed(), now()));
  EXPECT_THAT(store_->Acquire({"p", "j"}, "w", "t", now(), true, now()),
              StatusIs(absl::StatusCode::kAborted));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Acquire("j").attempt, 2);
}

TEST_P(LeaseConformance, SuccessKeepsResultAndOutputs) {
  Insert("j");
  AddArtifact("p", Digest(1), ArtifactKind::kResult);
  AttemptOutcome outcome = Succeeded();
  outcome.outputs = {{Digest(1), "report"}};
  ASSERT_OK(store_->FinishAttempt(Acquire("j"), outcome, now()));
  const Job job = Get("j");
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.result, outcome.result);
  EXPECT_EQ(job.outputs, outcome.outputs);
}

TEST_P(LeaseConformance, AFailureForAReasonOfItsOwnKeepsResultAndOutputs) {
  Insert("j");
  AddArtifact("p", Digest(1), ArtifactKind::kCheckpoint);
  AttemptOutcome outcome = Failed();
  outcome.retryable = false;
  outcome.reason = JobReason::kAccuracyBound;
  outcome.result = "what is left";
  outcome.outputs = {{Digest(1), "checkpoint"}};
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(store_->RecordCheckpoint(attempt, {Digest(1), 1, 10, now()}, now()));
  ASSERT_OK(store_->FinishAttempt(attempt, outcome, now()));
  const Job job = Get("j");
  EXPECT_EQ(job.state, JobState::kFailed);
  EXPECT_EQ(job.reason, JobReason::kAccuracyBound);
  EXPECT_EQ(job.result, outcome.result);
  EXPECT_EQ(job.outputs, outcome.outputs);
  // The job lets go of its checkpoints; this one is a result too.
  EXPECT_THAT(job.checkpoints, testing::IsEmpty());
  EXPECT_OK(store_->GetArtifact("p", Digest(1)));
}

TEST_P(LeaseConformance, AnOutputThatIsNotStoredIsRefusedAndTheAttemptGoesOn) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  AttemptOutcome outcome = Succeeded();
  outcome.outputs = {{Digest(1), "report"}};
  const auto refused = store_->FinishAttempt(attempt, outcome, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonArtifactMissing);
  EXPECT_EQ(Get("j").state, JobState::kRunning);
  EXPECT_OK(store_->FinishAttempt(attempt, Failed(), now()));
}

TEST_P(LeaseConformance, ARepeatedOutcomeIsOneOutcome) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(store_->FinishAttempt(attempt, Failed(), now()));
  const Job before = Get("j");
  ASSERT_OK_AND_ASSIGN(const Job again, store_->FinishAttempt(attempt, Failed(), now()));
  EXPECT_EQ(again.attempts_spent, 1);
  EXPECT_EQ(again.last_sequence, before.last_sequence);
  clock_.Advance(absl::Minutes(1));
  Acquire("j", "next");  // also once the next attempt runs
  EXPECT_OK(store_->FinishAttempt(attempt, Failed(), now()));
}

TEST_P(LeaseConformance, AnotherOutcomeAfterTheFirstIsRefused) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  EXPECT_THAT(store_->FinishAttempt(attempt, Failed(), now()),
              StatusIs(absl::StatusCode::kAborted));
  AttemptName forged = attempt;
  forged.token = "guess";
  EXPECT_THAT(store_->FinishAttempt(forged, Succeeded(), now()),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Get("j").state, JobState::kSucceeded);
}

TEST_P(LeaseConformance, AttemptsAreListedOldestFirst) {
  Insert("j");
  ASSERT_OK(store_->FinishAttempt(Acquire("j", "a"), Failed(), now()));
  clock_.Advance(absl::Minutes(1));
  Acquire("j", "b");
  ASSERT_OK_AND_ASSIGN(const auto attempts, store_->ListAttempts({"p", "j"}));
  ASSERT_THAT(attempts, SizeIs(2));
  EXPECT_EQ(attempts[0].worker, "a");
  EXPECT_EQ(attempts[0].state, AttemptState::kFailed);
  EXPECT_EQ(attempts[0].failure.message, "it broke");
  EXPECT_EQ(attempts[1].number, 2);
  EXPECT_EQ(attempts[1].state, AttemptState::kRunning);
  EXPECT_EQ(attempts[1].end_time, absl::InfiniteFuture());
}

TEST_P(LeaseConformance, TheFirstDeterminismKeyIsKeptAndAnotherEndsBitExactness) {
  Insert("j");
  AttemptUpdate update;
  update.attempt = Acquire("j");
  update.determinism_key = DeterminismKey{"3.2.0", "avx2", 2, Digest(1)};
  ASSERT_OK(store_->RecordProgress({update}, now()));
  ASSERT_OK(store_->RecordProgress({update}, now()));
  EXPECT_TRUE(Get("j").bit_exact);
  EXPECT_EQ(Get("j").determinism_key, update.determinism_key);
  const DeterminismKey first = *update.determinism_key;
  update.determinism_key->isa = "avx512_core";
  ASSERT_OK(store_->RecordProgress({update}, now()));
  EXPECT_FALSE(Get("j").bit_exact);
  EXPECT_EQ(Get("j").determinism_key, first);
}

TEST_P(LeaseConformance, ALeaseThatCannotMatchTheKeyMarksTheJobForGood) {
  Insert("j");
  ASSERT_OK_AND_ASSIGN(const Job job, store_->Acquire({"p", "j"}, "w", "t",
                                                      now() + absl::Seconds(30), false, now()));
  EXPECT_FALSE(job.lease->bit_exact);
  ASSERT_OK(store_->FinishAttempt(job.lease->attempt, HandedBack(), now()));
  Acquire("j");
  EXPECT_FALSE(Get("j").bit_exact);
  ASSERT_OK_AND_ASSIGN(const auto attempts, store_->ListAttempts({"p", "j"}));
  EXPECT_FALSE(attempts[0].bit_exact);
  EXPECT_TRUE(attempts[1].bit_exact);
}

TEST_P(LeaseConformance, OneStaleUpdateDoesNotHinderTheOthers) {
  Insert("a");
  Insert("b");
  AttemptUpdate good;
  good.attempt = Acquire("a");
  good.progress = "good";
  AttemptUpdate stale;
  stale.attempt = Acquire("b");
  stale.attempt.attempt = 7;
  stale.progress = "stale";
  ASSERT_OK_AND_ASSIGN(const auto results, store_->RecordProgress({stale, good}, now()));
  EXPECT_THAT(results[0].status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK(results[1].status);
  EXPECT_EQ(Get("a").progress, "good");
  EXPECT_EQ(Get("b").progress, "");
}

TEST_P(LeaseConformance, DeadlinesFailQueuedJobsAndStopRunningOnes) {
  for (const char* id : {"queued", "running", "patient"}) {
    Job job = NewJob(id);
    if (job.id != "patient") job.deadline = now() + absl::Minutes(1);
    Insert(job);
  }
  const AttemptName attempt = Acquire("running");
  EXPECT_THAT(*store_->ExpireDeadlines(now(), 10), IsEmpty());
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(*store_->ExpireDeadlines(now(), 10), SizeIs(2));
  EXPECT_THAT(*store_->ExpireDeadlines(now(), 10), IsEmpty());
  EXPECT_EQ(Get("queued").state, JobState::kFailed);
  EXPECT_EQ(Get("queued").reason, JobReason::kDeadlineExceeded);
  EXPECT_EQ(Get("patient").state, JobState::kQueued);
  EXPECT_EQ(Report(attempt, "x").stop, StopReason::kDeadline);
  ASSERT_OK(store_->FinishAttempt(attempt, Stopped(), now()));
  EXPECT_EQ(Get("running").state, JobState::kFailed);
  EXPECT_EQ(Get("running").failure.code, absl::StatusCode::kDeadlineExceeded);
}

}  // namespace topiary
