// What every JobStore must do about events and checkpoints.

#include <map>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(JobEventsConformance);

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

namespace {

std::vector<std::string> CheckpointDigests(const Job& job) {
  std::vector<std::string> digests;
  for (const Checkpoint& checkpoint : job.checkpoints) digests.push_back(checkpoint.digest);
  return digests;
}

}  // namespace

TEST_P(JobEventsConformance, EachStateChangeIsAnEventWithItsReason) {
  Insert("j");
  ASSERT_OK(store_->FinishAttempt(Acquire("j", "a"), Failed(), now()));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(store_->FinishAttempt(Acquire("j", "b"), Succeeded(), now()));
  std::vector<std::string> story;
  for (const JobEvent& event : Events("j")) {
    story.push_back(absl::StrCat(event.sequence, " ", JobStateName(event.state), " ",
                                 JobReasonName(event.reason), " ", event.attempt, event.worker));
  }
  EXPECT_THAT(story, ElementsAre("1 QUEUED SUBMITTED 0", "2 RUNNING LEASED 1a",
                                 "3 QUEUED ATTEMPT_FAILED 1a", "4 RUNNING LEASED 2b",
                                 "5 SUCCEEDED COMPLETED 2b"));
  EXPECT_EQ(Events("j")[2].failure.message, "it broke");
  EXPECT_FALSE(Events("j")[4].failure.failed());
}

TEST_P(JobEventsConformance, EventsAreReadFromAnySequenceOn) {
  Insert("j");
  Acquire("j");
  EXPECT_THAT(Events("j", 1), SizeIs(1));
  EXPECT_THAT(Events("j", 2), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto limited, store_->ListEvents({"p", "j"}, 0, 1));
  ASSERT_THAT(limited, SizeIs(1));
  EXPECT_EQ(limited[0].sequence, 1);
}

TEST_P(JobEventsConformance, ProgressIsAnEventAtMostOnceASecond) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  for (int i = 0; i < 10; ++i) {
    EXPECT_OK(Report(attempt, absl::StrCat("step ", i)).status);
    clock_.Advance(absl::Milliseconds(250));
  }
  std::vector<std::string> progress;
  for (const JobEvent& event : Events("j", 2)) progress.push_back(event.progress);
  EXPECT_THAT(progress, ElementsAre("step 0", "step 4", "step 8"));
  EXPECT_EQ(Get("j").progress, "step 9");
}

TEST_P(JobEventsConformance, ProgressIsThinnedStateChangesStayAndNumbersAreNotReused) {
  Insert("j");
  const AttemptName attempt = Acquire("j");

  for (int i = 0; i < 1200; i += 100) {
    for (int k = 0; k < 100; ++k) {
      AttemptUpdate update;
      update.attempt = attempt;
      update.expires_at = now() + absl::Hours(10);
      update.progress = absl::StrCat(i + k);
      clock_.Advance(absl::Seconds(1));
      ASSERT_OK(store_->RecordProgress({update}, now()));
    }
    ASSERT_LT(Events("j").size(), 1000u + 3);
  }
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  const std::vector<JobEvent> events = Events("j");
  EXPECT_GT(events.size(), 500u);
  int64_t last = 0;
  int states = 0;
  for (const JobEvent& event : events) {
    EXPECT_GT(event.sequence, last);
    last = event.sequence;
    if (event.kind == JobEvent::Kind::kState) ++states;
  }
  EXPECT_EQ(states, 3);
  EXPECT_EQ(events[0].sequence, 1);
  EXPECT_EQ(events[1].sequence, 2);
  EXPECT_EQ(last, 1200 + 3);  // each report had its number, though most are gone
  EXPECT_EQ(Get("j").last_sequence, last);
}

TEST_P(JobEventsConformance, TheNewestTwoCheckpointsAreKept) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  for (int i = 1; i <= 4; ++i) ASSERT_OK(RecordCheckpoint(attempt, i, i * 100));
  const Job job = Get("j");
  EXPECT_THAT(CheckpointDigests(job), ElementsAre(Digest(4), Digest(3)));
  EXPECT_EQ(job.checkpoints[0].step, 400);
  EXPECT_EQ(job.checkpoints[0].attempt, 1);
  EXPECT_THAT(store_->GetArtifact("p", Digest(2)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(store_->GetArtifact("p", Digest(3)));
}

TEST_P(JobEventsConformance, ARepeatedOrLateCheckpointChangesNothing) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  for (int i = 1; i <= 3; ++i) ASSERT_OK(RecordCheckpoint(attempt, i, i * 100));
  Checkpoint repeated;
  repeated.digest = Digest(3);
  repeated.step = 300;
  EXPECT_OK(store_->RecordCheckpoint(attempt, repeated, now()));
  Checkpoint late;  // its artifact is gone already
  late.digest = Digest(1);
  late.step = 100;
  EXPECT_OK(store_->RecordCheckpoint(attempt, late, now()));
  EXPECT_THAT(CheckpointDigests(Get("j")), ElementsAre(Digest(3), Digest(2)));
}

TEST_P(JobEventsConformance, ACheckpointThatIsNotStoredIsRefused) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(RecordCheckpoint(attempt, 1, 100));
  Checkpoint missing;
  missing.digest = Digest(2);
  missing.step = 200;
  const absl::Status refused = store_->RecordCheckpoint(attempt, missing, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused), kReasonArtifactMissing);
  EXPECT_THAT(CheckpointDigests(Get("j")), ElementsAre(Digest(1)));
}

TEST_P(JobEventsConformance, CheckpointsOutliveTheirAttempt) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(RecordCheckpoint(attempt, 1, 100));
  ASSERT_OK(store_->FinishAttempt(attempt, HandedBack(), now()));
  ASSERT_OK_AND_ASSIGN(const Job next, store_->Acquire({"p", "j"}, "b", "t",
                                                       now() + absl::Seconds(30), true, now()));
  EXPECT_THAT(CheckpointDigests(next), ElementsAre(Digest(1)));
  // A later attempt that began anew may be at an earlier step than the checkpoint it found.
  EXPECT_OK(RecordCheckpoint(next.lease->attempt, 2, 50));
  EXPECT_THAT(CheckpointDigests(Get("j")), ElementsAre(Digest(2), Digest(1)));
}

struct EndOfCheckpoints {
  bool keep;
  size_t kept;
};

TEST_P(JobEventsConformance, CheckpointsEndWithTheirJobUnlessAskedFor) {
  for (const EndOfCheckpoints c : {EndOfCheckpoints{false, 0}, EndOfCheckpoints{true, 1}}) {
    Job job = NewJob(absl::StrCat("keep", c.keep));
    job.keep_checkpoints = c.keep;
    Insert(job);
    const AttemptName attempt = Acquire(job.id);
    const int seed = c.keep ? 10 : 20;
    ASSERT_OK(RecordCheckpoint(attempt, seed + 1, 100));
    ASSERT_OK(RecordCheckpoint(attempt, seed + 2, 200));
    ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
    EXPECT_THAT(Get(job.id).checkpoints, SizeIs(c.kept));
    EXPECT_FALSE(store_->GetArtifact("p", Digest(seed + 1)).ok());
    EXPECT_EQ(store_->GetArtifact("p", Digest(seed + 2)).ok(), c.keep);
    ASSERT_OK(store_->Delete({"p", job.id}));
    EXPECT_FALSE(store_->GetArtifact("p", Digest(seed + 2)).ok());
  }
}

TEST_P(JobEventsConformance, ACheckpointThatIsAlsoAnInputElsewhereStays) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(RecordCheckpoint(attempt, 1, 100));
  Job user = NewJob("user");
  user.inputs = {{Digest(1), "model"}};
  Insert(user);
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  EXPECT_OK(store_->GetArtifact("p", Digest(1)));
}

TEST_P(JobEventsConformance, TheListenerHearsOfEveryChangeAfterItIsCommitted) {
  std::vector<std::string> heard;
  store_->SetListener([&](const JobChange& change) {
    heard.push_back(absl::StrCat(change.name.job, " ", JobStateName(change.state),
                                 change.deleted ? " deleted" : ""));
    // It is committed, and no lock is held.
    if (change.deleted) return;
    EXPECT_EQ(Get(change.name.job).state, change.state);
  });
  Insert("j");
  const AttemptName attempt = Acquire("j");
  Report(attempt, "x");
  Report(attempt, "too soon for an event");
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  ASSERT_OK(store_->FinishAttempt(attempt, Succeeded(), now()));
  ASSERT_OK(store_->Delete({"p", "j"}));
  EXPECT_THAT(heard, ElementsAre("j QUEUED", "j RUNNING", "j RUNNING", "j SUCCEEDED",
                                 "j SUCCEEDED deleted"));
}

TEST_P(JobEventsConformance, TheListenerHearsHowLongAJobRanHoweverItEnded) {
  std::map<std::string, std::optional<absl::Duration>> run_times;
  store_->SetListener([&](const JobChange& change) {
    if (IsTerminal(change.state)) {
      run_times[change.name.job] = change.run_time;
    } else {
      EXPECT_EQ(change.run_time, std::nullopt);
    }
  });
  for (const std::string name : {"finished", "lost", "cancelled"}) {
    Job job = NewJob(name);
    job.retry.max_attempts = 1;
    Insert(job);
  }
  Insert("never ran");
  Insert("requeued");
  ASSERT_OK(store_->RequestCancel({"p", "never ran"}, now()));
  const AttemptName finished = Acquire("finished");
  const AttemptName cancelled = Acquire("cancelled");
  const AttemptName requeued = Acquire("requeued");
  Acquire("lost");
  clock_.Advance(absl::Seconds(7));
  ASSERT_OK(store_->FinishAttempt(finished, Failed(), now()));
  ASSERT_OK(store_->RequestCancel({"p", "cancelled"}, now()));  // It runs until its worker stops.
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(store_->FinishAttempt(cancelled, Stopped(), now()));
  ASSERT_OK(store_->FinishAttempt(cancelled, Stopped(), now()));
  ASSERT_OK(store_->FinishAttempt(requeued, Failed(), now()));
  ASSERT_OK(store_->RequestCancel({"p", "requeued"}, now()));
  clock_.Advance(absl::Minutes(10));
  ASSERT_OK(store_->ReclaimExpired(now(), 10));
  EXPECT_THAT(
      run_times,
      UnorderedElementsAre(Pair("never ran", std::nullopt), Pair("finished", absl::Seconds(7)),
                           Pair("cancelled", absl::Seconds(8)), Pair("requeued", absl::Seconds(8)),
                           Pair("lost", absl::Minutes(10) + absl::Seconds(8))));
}

}  // namespace topiary
