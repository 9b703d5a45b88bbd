#include "worker/pipeline/job_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/fake_clock.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

class NotingObserver : public JobObserver {
 public:
  void OnProgress(const JobProgress& progress) override { said.push_back(progress); }
  void OnDeterminismKey(const DeterminismKey&) override {}
  absl::Status OnCheckpoint(const std::string&, int64_t) override { return absl::OkStatus(); }
  JobControl Control() override { return control; }

  std::vector<JobProgress> said;
  JobControl control = JobControl::kContinue;
};

class Reporting : public testing::Test {
 protected:
  void Step(int64_t step, float loss, const std::string& phase = "dense") {
    JobReporter::TrainingPoint point;
    point.phase = phase;
    point.step = step;
    point.total_steps = 100;
    point.batches_per_epoch = 10;
    point.batch_size = 32;
    point.loss = loss;
    reporter_.OnStep(point, [this] {
      ++sparsity_asked_;
      return 0.5;
    });
  }

  FakeClock clock_;
  NotingObserver observer_;
  JobReporter reporter_{&observer_, &clock_};
  int sparsity_asked_ = 0;
};

TEST_F(Reporting, SaysAtMostOnceInAQuarterOfASecond) {
  reporter_.BeginTraining(0);
  for (int step = 1; step <= 50; ++step) {
    clock_.Advance(absl::Milliseconds(50));
    Step(step, 1);
  }
  EXPECT_LE(observer_.said.size(), 11u);
  EXPECT_GE(observer_.said.size(), 9u);
  EXPECT_EQ(sparsity_asked_, static_cast<int>(observer_.said.size()));
}

TEST_F(Reporting, SaysAtOnceWhenThePhaseChangesAndAtTheEnd) {
  reporter_.BeginTraining(0);
  Step(1, 1);
  Step(2, 1);
  Step(3, 1, "sparse");
  Step(100, 1, "sparse");
  ASSERT_EQ(observer_.said.size(), 3u);
  EXPECT_EQ(observer_.said[1].phase, "sparse");
  EXPECT_EQ(observer_.said[2].step, 100);
}

TEST_F(Reporting, GivesTheMeanLossSinceTheReportBefore) {
  reporter_.BeginTraining(0);
  Step(1, 9);
  Step(2, 1);
  Step(3, 3);
  clock_.Advance(absl::Seconds(1));
  Step(4, 5);
  EXPECT_DOUBLE_EQ(*observer_.said.back().loss, 3.0);
  EXPECT_DOUBLE_EQ(observer_.said.back().epoch, 0.4);
}

TEST_F(Reporting, MeasuresSpeedOfThisAttemptAlone) {
  reporter_.BeginTraining(40);  // Resumed.
  clock_.Advance(absl::Seconds(10));
  Step(60, 1);
  EXPECT_DOUBLE_EQ(*observer_.said.back().samples_per_second, 20 * 32 / 10.0);
  EXPECT_DOUBLE_EQ(*observer_.said.back().remaining_seconds, 20);
}

TEST_F(Reporting, CountsTheStepsAndExamplesOfThisAttemptAlone) {
  reporter_.EnterPhase("load");
  reporter_.BeginTraining(40);  // Resumed.
  Step(41, 1);
  Step(42, 1);
  reporter_.EnterPhase("evaluate");
  EXPECT_EQ(observer_.said.front().attempt_steps, 0);
  EXPECT_EQ(observer_.said.back().attempt_steps, 2);
  EXPECT_EQ(observer_.said.back().attempt_samples, 2 * 32);
  EXPECT_EQ(observer_.said.back().step, 41);
}

TEST_F(Reporting, TurnsWhatTheObserverWantsIntoAStatus) {
  EXPECT_OK(reporter_.Check());
  observer_.control = JobControl::kStop;
  EXPECT_THAT(reporter_.Check(), StatusIs(absl::StatusCode::kCancelled));
  observer_.control = JobControl::kHandBack;
  EXPECT_THAT(reporter_.checker()(), StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace topiary
