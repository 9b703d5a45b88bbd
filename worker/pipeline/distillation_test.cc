// Learning from the model as given, through whole jobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/status_matchers.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {
namespace {

using Distillation = RunningJobs;

// One hidden layer, without Dropout, whose values are "v1".
Graph Student() {
  GraphBuilder b({8});
  const std::string h = b.Add("Relu", {b.Linear("fc", "x", 8, 16)});
  return b.Finish(b.Linear("head", h, 16, 3));
}

TEST_F(Distillation, ATeacherThatIsTheStudentTeachesNothing) {
  const Graph graph = Student();
  JobSpec spec = SmallJob(folder_, graph);
  spec.method = DenseOptions();
  spec.target.reset();
  spec.task.distillation.emplace().weight = 1;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["metrics"]["given"], report["metrics"]["dense"]);
  for (const nlohmann::json& entry : report["history"]) EXPECT_EQ(entry["loss"], 0);
}

TEST_F(Distillation, AFeatureCountsByItsWeight) {
  JobSpec spec = SmallJob(folder_, Student());
  spec.method = MagnitudeOptions();
  spec.task.distillation.emplace();
  std::set<std::string> digests;
  for (const double weight : {0.0, 0.5, 1.0}) {
    spec.task.distillation->features.clear();
    if (weight > 0) spec.task.distillation->features = {{"v1", weight}};
    ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
    digests.insert(DigestOf(outcome, JobFile::Kind::kOnnx));
  }
  EXPECT_EQ(digests.size(), 3u);
}

// What pruning broke is repaired by the teacher alone: no label has any weight.
TEST_F(Distillation, APrunedStudentComesNearItsTeacherWithoutLabels) {
  const Graph graph = Student();
  JobSpec spec = SmallJob(folder_, graph);
  spec.target->sparsity = 0.5;
  spec.task.epochs = 20;
  MagnitudeOptions one_shot;
  one_shot.schedule = MagnitudeOptions::Schedule::kOneShot;
  one_shot.at_fraction = 0;
  spec.method = one_shot;
  spec.task.distillation.emplace().weight = 1;
  spec.task.distillation->features = {{"v1", 0.5}};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json history = ReportOf(outcome)["history"];
  ASSERT_GE(history.size(), 10u);
  EXPECT_GT(history.front()["loss"].get<double>(), 0);
  EXPECT_LT(history.back()["loss"].get<double>(), history.front()["loss"].get<double>() * 0.8);
}

TEST_F(Distillation, ResumesWithTheSameBits) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  spec.method = SequentialAttentionPlusPlusOptions();
  spec.task.distillation.emplace();
  spec.target->rewind.emplace();
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  spec.task.distillation->weight = 0.6;
  ASSERT_OK_AND_ASSIGN(const JobOutcome other, Run(spec));
  EXPECT_NE(DigestOf(other, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  spec.task.distillation->weight = 0.5;
  for (const int64_t step : {1, 13, 22, 29}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx))
        << "from step " << step;
  }
}

// The comparison learns from labels alone, so that its program is another.
TEST_F(Distillation, IsBitExactWhereItIsResumedAfterTheDenseComparison) {
  JobSpec spec = SmallJob(folder_, Student());
  spec.method = MagnitudeOptions();
  spec.task.distillation.emplace();
  spec.outputs.train_dense_comparison = true;
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  required_key_ = observer.keys.at(0);
  ASSERT_EQ(observer.checkpoint_steps.back(), 60);
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(60)));
  EXPECT_TRUE(resumed.bit_exact);
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
  EXPECT_EQ(quiet.keys.at(0).plan_digest, observer.keys.at(0).plan_digest);
}

TEST_F(Distillation, AFeatureThatTheModelDoesNotHaveIsNamed) {
  JobSpec spec = SmallJob(folder_, Student());
  spec.task.distillation.emplace().features = {{"no_such_value", 1}};
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("'no_such_value'")));
}

}  // namespace
}  // namespace topiary
