#include "server/scheduling/sweep_finisher.h"

#include <new>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/artifacts/memory_artifact_store.h"
#include "server/jobs/memory_metadata_store.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class SweepFinisherTest : public testing::Test {
 protected:
  SweepFinisherTest() { Restart(); }

  // A coordinator that starts anew on the same stores.
  void Restart() {
    artifacts_ = std::make_unique<ArtifactRepository>(
        ArtifactLimits(), &store_, &blobs_, &clock_,
        [this] { return absl::StrCat("upload-", next_upload_++); });
    finisher_ = std::make_unique<SweepFinisher>(
        &store_, artifacts_.get(), [this](const Job& sweep, const std::vector<Job>& children) {
          ++reports_;
          if (cannot_.count(sweep.id) == 1) throw std::bad_alloc();
          SweepReport report;
          report.json = absl::StrCat("report on ", sweep.id);
          for (const Job& child : children) absl::StrAppend(&report.json, " ", child.id);
          report.digest = Sha256Hex(report.json);
          report.result = absl::StrCat("result of ", sweep.id);
          return report;
        });
  }

  // A sweep whose children have all succeeded.
  void EndedSweep(const std::string& id) {
    Job sweep;
    sweep.project = "p";
    sweep.id = id;
    std::vector<Job> children;
    for (int i = 1; i <= 2; ++i) {
      Job child = sweep;
      child.id = absl::StrFormat("%s-%04d", id, i);
      children.push_back(child);
    }
    ASSERT_OK(store_.InsertSweep(sweep, children, 1000, clock_.Now()));
    for (const Job& child : children) {
      ASSERT_OK_AND_ASSIGN(const Job leased,
                           store_.Acquire(child.name(), "w", "t", clock_.Now() + absl::Seconds(9),
                                          true, clock_.Now()));
      ASSERT_OK(store_.FinishAttempt(leased.lease->attempt, AttemptOutcome(), clock_.Now()));
    }
  }

  Job Get(const std::string& id) { return *store_.Get({"p", id}); }

  FakeClock clock_;
  MemoryMetadataStore store_{&clock_};
  MemoryArtifactStore blobs_{&clock_};
  int next_upload_ = 0;
  int reports_ = 0;
  std::set<std::string> cannot_;  // Sweeps of which a report cannot be made.
  std::unique_ptr<ArtifactRepository> artifacts_;
  std::unique_ptr<SweepFinisher> finisher_;
};

TEST_F(SweepFinisherTest, ASweepWhoseChildrenHaveEndedGetsItsReportAndEnds) {
  EndedSweep("s");
  EndedSweep("t");
  ASSERT_OK(finisher_->FinishEnded());
  const Job sweep = Get("s");
  EXPECT_EQ(sweep.state, JobState::kSucceeded);
  EXPECT_EQ(sweep.result, "result of s");
  const std::string bytes = "report on s s-0001 s-0002";
  EXPECT_THAT(sweep.outputs, ElementsAre(ArtifactReference{Sha256Hex(bytes), "report"}));
  ASSERT_OK_AND_ASSIGN(const OpenArtifact open, artifacts_->Open("p", Sha256Hex(bytes)));
  EXPECT_EQ(open.artifact.kind, ArtifactKind::kResult);
  EXPECT_EQ(open.reader->size(), static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(Get("t").state, JobState::kSucceeded);
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(reports_, 2) << "each once";
}

TEST_F(SweepFinisherTest, OneThatStillRunsIsLeftAlone) {
  EndedSweep("s");
  Job sweep = Get("s");
  sweep.id = "live";
  Job child = sweep;
  child.id = "live-0001";
  ASSERT_OK(store_.InsertSweep(sweep, {child}, 100, clock_.Now()));
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("live").state, JobState::kQueued);
  EXPECT_EQ(reports_, 1);
}

// As after SIGKILL between the two steps, and in the middle of the first.
TEST_F(SweepFinisherTest, ACoordinatorThatWasKilledDoesTheRestWhenItIsBack) {
  EndedSweep("s");
  const std::string bytes = "report on s s-0001 s-0002";
  ASSERT_OK_AND_ASSIGN(
      const UploadStatus begun,
      artifacts_->BeginUpload({"p", Sha256Hex(bytes), static_cast<int64_t>(bytes.size()),
                               ArtifactKind::kResult, "report.json"}));
  ASSERT_OK(artifacts_->WriteUpload("p", begun.session.id, 0, bytes.substr(0, 10)));
  Restart();
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("s").state, JobState::kSucceeded);

  EndedSweep("t");
  const std::string other = "report on t t-0001 t-0002";
  ASSERT_OK(artifacts_->Store("p", Sha256Hex(other), other, ArtifactKind::kResult, "report.json"));
  Restart();
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("t").state, JobState::kSucceeded);
  ArtifactQuery query;
  query.project = "p";
  ASSERT_OK_AND_ASSIGN(const ArtifactPage page, store_.ListArtifacts(query));
  EXPECT_THAT(page.artifacts, SizeIs(2)) << "one for each sweep";
}

TEST_F(SweepFinisherTest, ASweepThatCannotBeReportedWaitsAndOthersDoNot) {
  EndedSweep("a");
  EndedSweep("s");
  cannot_ = {"a"};
  EXPECT_THAT(finisher_->FinishEnded(),
              StatusIs(absl::StatusCode::kInternal, testing::HasSubstr("projects/p/jobs/a")));
  EXPECT_NE(Get("a").state, JobState::kSucceeded);
  EXPECT_EQ(Get("s").state, JobState::kSucceeded);
  EXPECT_EQ(reports_, 2);
  EndedSweep("t");
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("t").state, JobState::kSucceeded);
  EXPECT_EQ(reports_, 3) << "it is not tried again at once";
  clock_.Advance(SweepFinisher::kRetryInterval);
  EXPECT_FALSE(finisher_->FinishEnded().ok());
  EXPECT_EQ(reports_, 4);
  cannot_.clear();
  clock_.Advance(SweepFinisher::kRetryInterval);
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("a").state, JobState::kSucceeded);
}

// The store names them first, and no more than a hundred at a time.
TEST_F(SweepFinisherTest, ManyThatCannotBeReportedDoNotStarveTheRest) {
  for (int i = 0; i < 120; ++i) {
    const std::string id = absl::StrFormat("a%03d", i);
    EndedSweep(id);
    cannot_.insert(id);
  }
  EndedSweep("s");
  EXPECT_FALSE(finisher_->FinishEnded().ok());
  EXPECT_FALSE(finisher_->FinishEnded().ok());
  EXPECT_EQ(Get("s").state, JobState::kSucceeded);
  EXPECT_EQ(reports_, 121);
}

TEST_F(SweepFinisherTest, WhatFailsIsTriedAgain) {
  EndedSweep("s");
  store_.FailWith(absl::UnavailableError("down"));
  EXPECT_THAT(finisher_->FinishEnded(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  ASSERT_OK(finisher_->FinishEnded());
  EXPECT_EQ(Get("s").state, JobState::kSucceeded);
}

}  // namespace
}  // namespace topiary
