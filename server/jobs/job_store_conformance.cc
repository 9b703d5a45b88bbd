// What every JobStore must do about jobs.

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(JobStoreConformance);

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

namespace {

std::vector<std::string> Ids(const std::vector<Job>& jobs) {
  std::vector<std::string> ids;
  for (const Job& job : jobs) ids.push_back(job.id);
  return ids;
}

}  // namespace

TEST_P(JobStoreConformance, AnInsertedJobComesBackWhole) {
  AddArtifact("p", Digest(1));
  AddArtifact("p", Digest(2));
  Job job = NewJob("j");
  job.request_id = "r";
  job.request_digest = "rd";
  job.spec = std::string("\0\xff spec", 7);
  job.spec_digest = "sd";
  job.labels = {{"team", "vision"}, {"run", "7"}};
  job.priority = -3;
  job.placement = {Device::kCpu, 4, int64_t{1} << 40, true};
  job.retry.max_attempts = 9;
  job.retry.initial_backoff = absl::Milliseconds(1500);
  job.retry.maximum_backoff = absl::Hours(5);
  job.deadline = now() + absl::Hours(1);
  job.keep_checkpoints = true;
  job.inputs = {{Digest(1), "model"}, {Digest(2), "data"}};
  Insert(job);
  const Job stored = Get("j");
  EXPECT_EQ(stored.uid, "uid-j");
  EXPECT_EQ(stored.request_id, "r");
  EXPECT_EQ(stored.request_digest, "rd");
  EXPECT_EQ(stored.spec, job.spec);
  EXPECT_EQ(stored.spec_digest, "sd");
  EXPECT_EQ(stored.labels, job.labels);
  EXPECT_EQ(stored.priority, -3);
  EXPECT_EQ(stored.placement.device, Device::kCpu);
  EXPECT_EQ(stored.placement.threads, 4);
  EXPECT_EQ(stored.placement.memory_bytes, int64_t{1} << 40);
  EXPECT_TRUE(stored.placement.bfloat16);
  EXPECT_EQ(stored.retry.max_attempts, 9);
  EXPECT_EQ(stored.retry.initial_backoff, absl::Milliseconds(1500));
  EXPECT_EQ(stored.retry.maximum_backoff, absl::Hours(5));
  EXPECT_EQ(stored.deadline, job.deadline);
  EXPECT_TRUE(stored.keep_checkpoints);
  EXPECT_EQ(stored.inputs, job.inputs);
  EXPECT_EQ(stored.state, JobState::kQueued);
  EXPECT_EQ(stored.create_time, now());
  EXPECT_EQ(stored.start_time, absl::InfiniteFuture());
  EXPECT_FALSE(stored.lease.has_value());
  EXPECT_FALSE(stored.determinism_key.has_value());
}

TEST_P(JobStoreConformance, AnUnknownJobIsNotFoundByEveryMethod) {
  const JobName name{"p", "none"};
  const AttemptName attempt{"p", "none", 1, "t"};
  const auto not_found = StatusIs(absl::StatusCode::kNotFound, HasSubstr("projects/p/jobs/none"));
  EXPECT_THAT(store_->Get(name), not_found);
  EXPECT_EQ(ReasonOf(store_->Get(name).status()), kReasonJobNotFound);
  EXPECT_THAT(store_->ListAttempts(name), not_found);
  EXPECT_THAT(store_->RequestCancel(name, now()), not_found);
  EXPECT_THAT(store_->Delete(name), not_found);
  EXPECT_THAT(store_->Acquire(name, "w", "t", now(), true, now()), not_found);
  EXPECT_THAT(store_->RecordCheckpoint(attempt, Checkpoint(), now()), not_found);
  EXPECT_THAT(store_->FinishAttempt(attempt, Succeeded(), now()), not_found);
  EXPECT_THAT(store_->ListEvents(name, 0, 10), not_found);
  EXPECT_THAT(Report(attempt, "x").status, not_found);
}

TEST_P(JobStoreConformance, ARepeatedRequestGivesTheSameJobAsItIsNow) {
  Job job = NewJob("first");
  job.request_id = "r";
  job.request_digest = "same";
  Insert(job);
  Acquire("first");
  job.id = "second";
  const Job again = Insert(job);
  EXPECT_EQ(again.id, "first");
  EXPECT_EQ(again.state, JobState::kRunning);
  EXPECT_THAT(store_->Get({"p", "second"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(JobStoreConformance, ARequestIdWithOtherContentIsRefused) {
  Job job = NewJob("first");
  job.request_id = "r";
  job.request_digest = "one";
  Insert(job);
  job.id = "second";
  job.request_digest = "two";
  const auto refused = store_->Insert(job, 10, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("request_id r")));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonRequestIdReused);
}

TEST_P(JobStoreConformance, RequestIdsAreApartInEachProjectAndEmptyOnesAreNone) {
  Job job = NewJob("a");
  job.request_id = "r";
  Insert(job);
  job.project = "q";
  EXPECT_EQ(Insert(job).project, "q");
  EXPECT_EQ(Insert("b").id, "b");
  EXPECT_EQ(Insert("c").id, "c");
}

TEST_P(JobStoreConformance, ATakenIdIsRefused) {
  Insert("j");
  const auto refused = store_->Insert(NewJob("j"), 10, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonJobExists);
}

TEST_P(JobStoreConformance, AMissingInputIsNamed) {
  AddArtifact("q", Digest(1));  // another project's does not count
  Job job = NewJob("j");
  job.inputs = {{Digest(1), "model"}};
  const auto refused = store_->Insert(job, 10, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Digest(1))));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonArtifactMissing);
  EXPECT_EQ(MetadataOf(refused.status()).at("digest"), Digest(1));
  EXPECT_THAT(store_->Get({"p", "j"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(JobStoreConformance, LiveJobsOfAProjectAreLimited) {
  ASSERT_OK(store_->Insert(NewJob("a"), 2, now()));
  ASSERT_OK(store_->Insert(NewJob("b"), 2, now()));
  const auto refused = store_->Insert(NewJob("c"), 2, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonTooManyJobs);
  ASSERT_OK(store_->RequestCancel({"p", "a"}, now()));
  EXPECT_OK(store_->Insert(NewJob("c"), 2, now()));
}

TEST_P(JobStoreConformance, PagesGoThroughAllJobsNewestFirst) {
  for (int i = 0; i < 5; ++i) {
    Insert(absl::StrCat("j", i));
    if (i != 2) clock_.Advance(absl::Seconds(1));  // j2 and j3 are of the same age
  }
  JobQuery query;
  query.project = "p";
  query.page_size = 2;
  ASSERT_OK_AND_ASSIGN(JobPage page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("j4", "j2"));
  Insert("newer");  // does not disturb the pages that follow
  query.page_token = page.next_page_token;
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("j3", "j1"));
  query.page_token = page.next_page_token;
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("j0"));
  EXPECT_EQ(page.next_page_token, "");
}

TEST_P(JobStoreConformance, ListFiltersByStateAndByAllLabels) {
  Job job = NewJob("a");
  job.labels = {{"team", "x"}, {"run", "1"}};
  Insert(job);
  job = NewJob("b");
  job.labels = {{"team", "x"}, {"run", "2"}};
  Insert(job);
  Acquire("b");
  job = NewJob("c");
  job.project = "q";
  job.labels = {{"team", "x"}};
  Insert(job);
  JobQuery query;
  query.project = "p";
  query.labels = {{"team", "x"}};
  ASSERT_OK_AND_ASSIGN(JobPage page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("a", "b"));
  query.states = {JobState::kRunning, JobState::kFailed};
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("b"));
  query.labels = {{"team", "x"}, {"run", "1"}};
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(page.jobs, IsEmpty());
}

TEST_P(JobStoreConformance, ListRefusesBadSizesAndOtherQuerysTokens) {
  Insert("a");
  Insert("b");
  JobQuery query;
  query.project = "p";
  for (int size : {0, -1, 1001}) {
    query.page_size = size;
    EXPECT_THAT(store_->List(query), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  query.page_size = 1;
  ASSERT_OK_AND_ASSIGN(const JobPage page, store_->List(query));
  query.page_token = page.next_page_token;
  query.states = {JobState::kQueued};
  EXPECT_THAT(store_->List(query), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(JobStoreConformance, CountsJobsByState) {
  Insert("a");
  Insert("b");
  Insert("c");
  Acquire("c");
  ASSERT_OK_AND_ASSIGN(const auto counts, store_->CountByState());
  EXPECT_THAT(counts, ElementsAre(testing::Pair(JobState::kQueued, 2),
                                  testing::Pair(JobState::kRunning, 1)));
}

TEST_P(JobStoreConformance, AQueuedJobIsCancelledAtOnce) {
  Insert("j");
  ASSERT_OK_AND_ASSIGN(const Job job, store_->RequestCancel({"p", "j"}, now()));
  EXPECT_EQ(job.state, JobState::kCancelled);
  EXPECT_EQ(Get("j").state, JobState::kCancelled);
  EXPECT_EQ(Get("j").end_time, now());
}

TEST_P(JobStoreConformance, ARunningJobIsMarkedAndItsWorkerSeesIt) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  EXPECT_EQ(Report(attempt, "x").stop, StopReason::kNone);
  ASSERT_OK_AND_ASSIGN(Job job, store_->RequestCancel({"p", "j"}, now()));
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.reason, JobReason::kCancelRequested);
  EXPECT_EQ(Report(attempt, "x").stop, StopReason::kCancelled);
  ASSERT_OK_AND_ASSIGN(job, store_->FinishAttempt(attempt, Stopped(), now()));
  EXPECT_EQ(job.state, JobState::kCancelled);
}

TEST_P(JobStoreConformance, CancellingAFinishedJobChangesNothing) {
  Insert("j");
  ASSERT_OK(store_->FinishAttempt(Acquire("j"), Succeeded(), now()));
  ASSERT_OK_AND_ASSIGN(const Job job, store_->RequestCancel({"p", "j"}, now()));
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_THAT(Events("j"), SizeIs(3));
}

TEST_P(JobStoreConformance, OnlyFinishedJobsAreDeletedAndTheirRequestIdIsFreed) {
  Job job = NewJob("j");
  job.request_id = "r";
  job.request_digest = "one";
  Insert(job);
  const absl::Status refused = store_->Delete({"p", "j"});
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("QUEUED")));
  EXPECT_EQ(ReasonOf(refused), kReasonJobNotFinished);
  ASSERT_OK(store_->RequestCancel({"p", "j"}, now()));
  ASSERT_OK(store_->Delete({"p", "j"}));
  EXPECT_THAT(store_->Get({"p", "j"}), StatusIs(absl::StatusCode::kNotFound));
  job.request_digest = "two";
  EXPECT_EQ(Insert(job).state, JobState::kQueued);
  EXPECT_THAT(Events("j"), SizeIs(1));
}

TEST_P(JobStoreConformance, AWorkerOfADeletedJobCannotTouchALaterOneWithTheSameId) {
  Insert("j");
  const AttemptName old = Acquire("j", "old");
  ASSERT_OK(store_->FinishAttempt(old, Failed(false), now()));
  ASSERT_OK(store_->Delete({"p", "j"}));
  Insert("j");
  clock_.Advance(absl::Seconds(1));
  const AttemptName fresh = Acquire("j", "new");
  ASSERT_EQ(old.attempt, fresh.attempt);
  EXPECT_THAT(Report(old, "x").status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(store_->FinishAttempt(old, Succeeded(), now()), StatusIs(absl::StatusCode::kAborted));
  EXPECT_OK(Report(fresh, "x").status);
}

TEST_P(JobStoreConformance, TheSnapshotHasTheBestOfEachKindOfDemand) {
  for (int i = 0; i < 4; ++i) {
    Job job = NewJob(absl::StrCat("small", i));
    job.priority = i == 3 ? 1 : 0;
    Insert(job);
    clock_.Advance(absl::Seconds(1));
  }
  Job big = NewJob("big");
  big.placement.memory_bytes = int64_t{1} << 35;
  Insert(big);
  clock_.Advance(absl::Seconds(1));
  Job bfloat16 = NewJob("bfloat16");
  bfloat16.placement.bfloat16 = true;
  Insert(bfloat16);
  ASSERT_OK_AND_ASSIGN(const SchedulingSnapshot snapshot, store_->Snapshot(now(), 2));
  std::vector<std::string> ids;
  for (const QueuedJob& job : snapshot.queued) ids.push_back(job.name.job);
  EXPECT_THAT(ids, ElementsAre("small3", "small0", "big", "bfloat16"));
  EXPECT_FALSE(snapshot.queued[2].placement.bfloat16);
  EXPECT_TRUE(snapshot.queued[3].placement.bfloat16);
}

TEST_P(JobStoreConformance, TheSnapshotCountsRunningJobsAndKnowsTheNextBackoff) {
  Insert("a");
  Insert("b");
  Acquire("a");
  ASSERT_OK(store_->FinishAttempt(Acquire("b"), Failed(), now()));
  ASSERT_OK_AND_ASSIGN(SchedulingSnapshot snapshot, store_->Snapshot(now(), 10));
  EXPECT_THAT(snapshot.queued, IsEmpty());
  EXPECT_THAT(snapshot.running_by_project, ElementsAre(testing::Pair("p", 1)));
  EXPECT_EQ(snapshot.next_eligible, now() + absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK_AND_ASSIGN(snapshot, store_->Snapshot(now(), 10));
  EXPECT_THAT(snapshot.queued, SizeIs(1));
  EXPECT_EQ(snapshot.next_eligible, absl::InfiniteFuture());
}

}  // namespace topiary
