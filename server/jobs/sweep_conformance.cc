// What every JobStore must do about sweeps and their children.

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SweepConformance);

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

// "RUNNING", or "1/3" for an event that counts children.
std::vector<std::string> Stories(const std::vector<JobEvent>& events) {
  std::vector<std::string> stories;
  for (const JobEvent& event : events) {
    stories.push_back(event.kind == JobEvent::Kind::kChildren
                          ? absl::StrCat(event.children_ended, "/", event.children)
                          : std::string(JobStateName(event.state)));
  }
  return stories;
}

}  // namespace

TEST_P(SweepConformance, ASweepComesBackWithItsChildren) {
  const Job sweep = InsertSweep("s", 3);
  EXPECT_EQ(sweep.state, JobState::kQueued);
  EXPECT_TRUE(sweep.is_sweep());
  const Job stored = Get("s");
  EXPECT_EQ(stored.children, 3);
  EXPECT_EQ(stored.child_counts, (ChildCounts{3, 0, 0, 0, 0}));
  EXPECT_EQ(stored.parent, "");
  ASSERT_OK_AND_ASSIGN(const std::vector<Job> children, store_->ListChildren({"p", "s"}));
  EXPECT_THAT(Ids(children), ElementsAre("s-0001", "s-0002", "s-0003"));
  EXPECT_EQ(children[1].parent, "s");
  EXPECT_EQ(children[1].spec, "spec of s-0002");
  EXPECT_EQ(children[1].create_time, stored.create_time);
  EXPECT_FALSE(children[1].is_sweep());
  EXPECT_THAT(store_->ListChildren({"p", "s-0001"}), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(store_->ListChildren({"p", "none"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SweepConformance, ASweepIsMadeWholeOrNotAtAll) {
  Insert("s-0002");  // In the way of a child.
  std::vector<Job> children = {NewJob("s-0001"), NewJob("s-0002")};
  const auto exists = store_->InsertSweep(NewJob("s"), children, 100, now());
  EXPECT_EQ(ReasonOf(exists.status()), kReasonJobExists);
  children[1] = NewJob("s-0003");
  children[1].inputs = {{Digest(1), "model"}};
  const auto missing = store_->InsertSweep(NewJob("s"), children, 100, now());
  EXPECT_EQ(ReasonOf(missing.status()), kReasonArtifactMissing);
  children[1].inputs.clear();
  const auto full = store_->InsertSweep(NewJob("s"), children, 3, now());
  EXPECT_EQ(ReasonOf(full.status()), kReasonTooManyJobs);
  EXPECT_FALSE(store_->Get({"p", "s"}).ok());
  EXPECT_FALSE(store_->Get({"p", "s-0001"}).ok());
  EXPECT_OK(store_->InsertSweep(NewJob("s"), children, 4, now()));
}

TEST_P(SweepConformance, ARepeatedRequestGivesTheSameSweep) {
  Job sweep = NewJob("first");
  sweep.request_id = "r";
  sweep.request_digest = "same";
  ASSERT_OK(store_->InsertSweep(sweep, {NewJob("first-0001"), NewJob("first-0002")}, 3, now()));
  sweep.id = "second";
  ASSERT_OK_AND_ASSIGN(
      const Job again,
      store_->InsertSweep(sweep, {NewJob("second-0001"), NewJob("second-0002")}, 3, now()));
  EXPECT_EQ(again.id, "first");
  EXPECT_EQ(again.child_counts.queued, 2);
  EXPECT_FALSE(store_->Get({"p", "second-0001"}).ok());
  sweep.request_digest = "other";
  EXPECT_EQ(ReasonOf(store_->InsertSweep(sweep, {NewJob("third-0001")}, 9, now()).status()),
            kReasonRequestIdReused);
}

TEST_P(SweepConformance, ListsLeaveChildrenOutUnlessAskedForThem) {
  InsertSweep("s", 2);
  Insert("alone");
  JobQuery query;
  query.project = "p";
  ASSERT_OK_AND_ASSIGN(JobPage page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("alone", "s"));
  EXPECT_EQ(page.jobs[1].child_counts.queued, 2);
  query.parent = "s";
  query.page_size = 1;
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("s-0001"));
  query.page_token = page.next_page_token;
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("s-0002"));
  query.parent = "";
  EXPECT_THAT(store_->List(query), StatusIs(absl::StatusCode::kInvalidArgument));
  query.page_token = "";
  query.page_size = 10;
  query.include_children = true;
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("alone", "s", "s-0001", "s-0002"));
}

TEST_P(SweepConformance, LabelsAndStatesNarrowAListOfChildren) {
  std::vector<Job> children = {NewJob("s-0001"), NewJob("s-0002"), NewJob("s-0003")};
  children[1].labels = children[2].labels = {{"k", "v"}};
  ASSERT_OK(store_->InsertSweep(NewJob("s"), children, 10, now()));
  Acquire("s-0003");
  JobQuery query;
  query.project = "p";
  query.parent = "s";
  query.labels = {{"k", "v"}};
  ASSERT_OK_AND_ASSIGN(JobPage page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("s-0002", "s-0003"));
  query.states = {JobState::kRunning};
  ASSERT_OK_AND_ASSIGN(page, store_->List(query));
  EXPECT_THAT(Ids(page.jobs), ElementsAre("s-0003"));
}

TEST_P(SweepConformance, ASweepIsNeverLeasedAndHoldsNoWorker) {
  InsertSweep("s", 2);
  EXPECT_THAT(store_->Acquire({"p", "s"}, "w", "t", now() + absl::Seconds(1), true, now()),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("sweep")));
  ASSERT_OK_AND_ASSIGN(SchedulingSnapshot snapshot, store_->Snapshot(now(), 10));
  EXPECT_THAT(snapshot.queued, SizeIs(2));
  Acquire("s-0001");
  ASSERT_OK_AND_ASSIGN(snapshot, store_->Snapshot(now(), 10));
  EXPECT_THAT(snapshot.queued, SizeIs(1));
  EXPECT_EQ(snapshot.running_by_project["p"], 1);
  EXPECT_EQ(Get("s").state, JobState::kRunning);
  EXPECT_THAT(store_->ListHeld(""), IsOkAndHolds(IsEmpty()));
  clock_.Advance(absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const auto moved, store_->ReclaimExpired(now(), 10));
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved[0].name.job, "s-0001");
  EXPECT_EQ(Get("s").state, JobState::kRunning) << "though no child runs now";
}

TEST_P(SweepConformance, ASweepRunsWithItsFirstChildAndEndsWithTheLast) {
  InsertSweep("s", 3);
  clock_.Advance(absl::Seconds(5));
  AttemptName first = Acquire("s-0001");
  const absl::Time began = now();
  ASSERT_OK(store_->FinishAttempt(first, Failed(), now()));  // To be tried again.
  clock_.Advance(absl::Minutes(1));
  first = Acquire("s-0001");
  ASSERT_OK(store_->FinishAttempt(first, Succeeded(), now()));
  ASSERT_OK(store_->FinishAttempt(Acquire("s-0002"), Failed(false), now()));
  EXPECT_THAT(store_->ListEndedSweeps(10), IsOkAndHolds(IsEmpty()));
  EXPECT_EQ(ReasonOf(store_->FinishSweep({"p", "s"}, "r", {}, now()).status()),
            kReasonJobNotFinished);
  ASSERT_OK(store_->RequestCancel({"p", "s-0003"}, now()));
  EXPECT_EQ(Get("s").state, JobState::kRunning) << "the report is missing";
  EXPECT_EQ(Get("s").child_counts, (ChildCounts{0, 0, 1, 1, 1}));
  EXPECT_THAT(store_->ListEndedSweeps(10), IsOkAndHolds(ElementsAre(JobName{"p", "s"})));

  EXPECT_EQ(ReasonOf(store_->FinishSweep({"p", "s"}, "r", {{Digest(1), "report"}}, now()).status()),
            kReasonArtifactMissing);
  AddArtifact("p", Digest(1), ArtifactKind::kResult);
  ASSERT_OK_AND_ASSIGN(const Job sweep,
                       store_->FinishSweep({"p", "s"}, "result", {{Digest(1), "report"}}, now()));
  EXPECT_EQ(sweep.state, JobState::kSucceeded);
  EXPECT_EQ(sweep.reason, JobReason::kCompleted);
  EXPECT_EQ(sweep.start_time, began);
  EXPECT_EQ(sweep.end_time, now());
  EXPECT_EQ(Get("s").result, "result");
  EXPECT_EQ(Get("s").outputs, sweep.outputs);
  EXPECT_THAT(store_->ListEndedSweeps(10), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(Stories(Events("s")),
              ElementsAre("QUEUED", "RUNNING", "1/3", "2/3", "3/3", "SUCCEEDED"));

  ASSERT_OK_AND_ASSIGN(const Job again, store_->FinishSweep({"p", "s"}, "other", {}, now()));
  EXPECT_EQ(again.result, "result");
  EXPECT_THAT(Events("s"), SizeIs(6));
}

TEST_P(SweepConformance, OnlySweepsAreFinishedSo) {
  Insert("j");
  Acquire("j");
  EXPECT_EQ(ReasonOf(store_->FinishSweep({"p", "j"}, "r", {}, now()).status()),
            kReasonJobNotFinished);
  EXPECT_EQ(Get("j").state, JobState::kRunning);
}

TEST_P(SweepConformance, ASweepOfFailuresFailsWithTheLastOne) {
  InsertSweep("s", 2);
  ASSERT_OK(store_->FinishAttempt(Acquire("s-0001"), Failed(false), now()));
  EXPECT_EQ(Get("s").state, JobState::kRunning);
  ASSERT_OK(store_->FinishAttempt(Acquire("s-0002"), Failed(false), now()));
  const Job sweep = Get("s");
  EXPECT_EQ(sweep.state, JobState::kFailed);
  EXPECT_EQ(sweep.reason, JobReason::kChildrenFailed);
  EXPECT_EQ(sweep.failure.code, absl::StatusCode::kInternal);
  EXPECT_THAT(sweep.failure.message, HasSubstr("it broke"));
  EXPECT_THAT(Stories(Events("s")), ElementsAre("QUEUED", "RUNNING", "1/2", "2/2", "FAILED"));
  EXPECT_THAT(Events("s").back().failure.message, HasSubstr("it broke"));
}

TEST_P(SweepConformance, CancellingAWaitingSweepEndsAllOfIt) {
  InsertSweep("s", 3);
  ASSERT_OK_AND_ASSIGN(const Job sweep, store_->RequestCancel({"p", "s"}, now()));
  EXPECT_EQ(sweep.state, JobState::kCancelled);
  EXPECT_EQ(sweep.reason, JobReason::kCancelRequested);
  EXPECT_EQ(Get("s").child_counts, (ChildCounts{0, 0, 0, 0, 3}));
  EXPECT_EQ(Get("s-0002").state, JobState::kCancelled);
  EXPECT_THAT(Stories(Events("s")), ElementsAre("QUEUED", "QUEUED", "3/3", "CANCELLED"));
  const int64_t last = Get("s").last_sequence;
  ASSERT_OK(store_->RequestCancel({"p", "s"}, now()));
  EXPECT_EQ(Get("s").last_sequence, last) << "cancelling twice is no error and no news";
}

TEST_P(SweepConformance, CancellingARunningSweepWaitsForItsWorkers) {
  InsertSweep("s", 3);
  const AttemptName done = Acquire("s-0001");
  const AttemptName running = Acquire("s-0002");
  ASSERT_OK(store_->FinishAttempt(done, Succeeded(), now()));
  ASSERT_OK_AND_ASSIGN(const Job sweep, store_->RequestCancel({"p", "s"}, now()));
  EXPECT_EQ(sweep.state, JobState::kRunning);
  EXPECT_EQ(sweep.stop, StopReason::kCancelled);
  EXPECT_EQ(sweep.child_counts, (ChildCounts{0, 1, 1, 0, 1}));
  EXPECT_EQ(Report(running, "x").stop, StopReason::kCancelled);
  ASSERT_OK(store_->FinishAttempt(running, Stopped(), now()));
  EXPECT_EQ(Get("s").state, JobState::kRunning)
      << "one has succeeded: there is something to report";
  ASSERT_OK_AND_ASSIGN(const Job ended, store_->FinishSweep({"p", "s"}, "r", {}, now()));
  EXPECT_EQ(ended.state, JobState::kCancelled);
  EXPECT_EQ(Get("s").result, "r");
}

TEST_P(SweepConformance, ACancelThatCameTooLateChangesNothing) {
  InsertSweep("s", 2);
  const AttemptName a = Acquire("s-0001");
  const AttemptName b = Acquire("s-0002");
  ASSERT_OK(store_->RequestCancel({"p", "s"}, now()));
  ASSERT_OK(store_->FinishAttempt(a, Succeeded(), now()));
  ASSERT_OK(store_->FinishAttempt(b, Succeeded(), now()));
  ASSERT_OK_AND_ASSIGN(const Job ended, store_->FinishSweep({"p", "s"}, "r", {}, now()));
  EXPECT_EQ(ended.state, JobState::kSucceeded);
}

TEST_P(SweepConformance, ACancelOfASweepWhoseChildrenHaveEndedChangesNothing) {
  InsertSweep("s", 2);
  ASSERT_OK(store_->RequestCancel({"p", "s-0001"}, now()));
  ASSERT_OK(store_->FinishAttempt(Acquire("s-0002"), Succeeded(), now()));
  ASSERT_OK(store_->RequestCancel({"p", "s"}, now()));
  ASSERT_OK_AND_ASSIGN(const Job ended, store_->FinishSweep({"p", "s"}, "r", {}, now()));
  EXPECT_EQ(ended.state, JobState::kSucceeded) << "the cancel ended no child";
}

TEST_P(SweepConformance, AChildMayBeCancelledAlone) {
  InsertSweep("s", 2);
  ASSERT_OK(store_->RequestCancel({"p", "s-0001"}, now()));
  EXPECT_EQ(Get("s").state, JobState::kQueued);
  EXPECT_EQ(Get("s-0002").state, JobState::kQueued);
  ASSERT_OK(store_->FinishAttempt(Acquire("s-0002"), Succeeded(), now()));
  ASSERT_OK_AND_ASSIGN(const Job ended, store_->FinishSweep({"p", "s"}, "r", {}, now()));
  EXPECT_EQ(ended.state, JobState::kSucceeded);
}

TEST_P(SweepConformance, ASweepWhoseChildrenAreAllCancelledIsCancelled) {
  InsertSweep("s", 2);
  ASSERT_OK(store_->RequestCancel({"p", "s-0001"}, now()));
  ASSERT_OK(store_->RequestCancel({"p", "s-0002"}, now()));
  EXPECT_EQ(Get("s").state, JobState::kCancelled);
  EXPECT_FALSE(Get("s").failure.failed());
}

TEST_P(SweepConformance, TheDeadlineIsThatOfTheChildren) {
  Job sweep = NewJob("s");
  std::vector<Job> children = {NewJob("s-0001"), NewJob("s-0002"), NewJob("s-0003")};
  sweep.deadline = now() + absl::Seconds(10);
  for (Job& child : children) child.deadline = sweep.deadline;
  ASSERT_OK(store_->InsertSweep(sweep, children, 10, now()));
  const AttemptName running = Acquire("s-0003");
  clock_.Advance(absl::Seconds(10));
  ASSERT_OK_AND_ASSIGN(auto moved, store_->ExpireDeadlines(now(), 1));
  EXPECT_THAT(moved, SizeIs(1));
  EXPECT_EQ(Get("s").state, JobState::kRunning) << "it must not end before its children";
  ASSERT_OK_AND_ASSIGN(moved, store_->ExpireDeadlines(now(), 10));
  EXPECT_THAT(moved, SizeIs(2));
  EXPECT_EQ(Report(running, "x").stop, StopReason::kDeadline);
  ASSERT_OK(store_->FinishAttempt(running, Stopped(), now()));
  EXPECT_EQ(Get("s").state, JobState::kFailed);
  EXPECT_EQ(Get("s").reason, JobReason::kDeadlineExceeded);
  EXPECT_EQ(Get("s").failure.code, absl::StatusCode::kDeadlineExceeded);
}

TEST_P(SweepConformance, ASweepIsDeletedWithItsChildren) {
  InsertSweep("s", 2);
  Insert("s-other");
  const AttemptName attempt = Acquire("s-0001");
  EXPECT_EQ(ReasonOf(store_->Delete({"p", "s"})), kReasonJobNotFinished);
  ASSERT_OK(RecordCheckpoint(attempt, 7, 1));
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  EXPECT_EQ(ReasonOf(store_->Delete({"p", "s-0001"})), kReasonJobNotFinished)
      << "the report needs it";
  ASSERT_OK(store_->RequestCancel({"p", "s-0002"}, now()));
  ASSERT_OK(store_->FinishSweep({"p", "s"}, "r", {}, now()));
  ASSERT_OK(store_->Delete({"p", "s-0002"}));
  EXPECT_EQ(Get("s").child_counts, (ChildCounts{0, 0, 1, 0, 0}));
  ASSERT_OK(store_->Delete({"p", "s"}));
  EXPECT_FALSE(store_->Get({"p", "s"}).ok());
  EXPECT_FALSE(store_->Get({"p", "s-0001"}).ok());
  EXPECT_OK(store_->Get({"p", "s-other"}));
}

TEST_P(SweepConformance, ArtifactsOfChildrenAreKeptWhileTheyAreNeeded) {
  AddArtifact("p", Digest(1));
  Job child = NewJob("s-0001");
  child.inputs = {{Digest(1), "model"}};
  ASSERT_OK(store_->InsertSweep(NewJob("s"), {child, NewJob("s-0002")}, 10, now()));
  EXPECT_EQ(ReasonOf(store_->DeleteArtifact("p", Digest(1))), kReasonArtifactInUse);
  ASSERT_OK(store_->RequestCancel({"p", "s-0001"}, now()));
  EXPECT_OK(store_->DeleteArtifact("p", Digest(1)));
}

TEST_P(SweepConformance, ListenersHearOfTheSweepAfterEachCommit) {
  std::vector<JobChange> changes;
  store_->SetListener([&](const JobChange& change) { changes.push_back(change); });
  InsertSweep("s", 2);
  EXPECT_THAT(changes, SizeIs(3));
  changes.clear();
  const AttemptName attempt = Acquire("s-0001");
  ASSERT_THAT(changes, SizeIs(2));
  EXPECT_EQ(changes[1].name.job, "s");
  EXPECT_EQ(changes[1].state, JobState::kRunning);
  clock_.Advance(absl::Seconds(3));
  ASSERT_OK(store_->FinishAttempt(attempt, Failed(false), now()));
  changes.clear();
  ASSERT_OK(store_->RequestCancel({"p", "s"}, now()));
  EXPECT_EQ(changes.back().name.job, "s");
  EXPECT_EQ(changes.back().state, JobState::kCancelled);
  EXPECT_FALSE(changes.back().run_time.has_value()) << "no worker ever held it";
}

}  // namespace topiary
