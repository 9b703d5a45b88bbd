#include "worker/pipeline/pipeline_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/export/block_sparse_file.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(RunningJobs, DenseTrainsAndReportsBothModels) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.method = DenseOptions();
  spec.target.reset();
  spec.outputs.block_sparse = false;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_GT(outcome.dense_metrics.at("accuracy"), 0.8);
  EXPECT_GT(outcome.dense_metrics.at("accuracy"), outcome.given_metrics.at("accuracy"));
  EXPECT_TRUE(outcome.pruned_metrics.empty());
  EXPECT_FALSE(outcome.sparsity_requested.has_value());
  EXPECT_EQ(*outcome.sparsity_reached, 0);
  EXPECT_NE(Find(outcome, JobFile::Kind::kOnnx), nullptr);
  EXPECT_EQ(Find(outcome, JobFile::Kind::kBlockSparse), nullptr);
}

TEST_F(RunningJobs, EvaluateMeasuresAndTrainsNothing) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.method = EvaluateSpec{true};
  spec.target.reset();
  spec.outputs.onnx = false;
  spec.outputs.block_sparse = false;
  RecordingObserver observer;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  EXPECT_EQ(outcome.given_metrics.count("accuracy"), 1u);
  EXPECT_TRUE(outcome.dense_metrics.empty());
  EXPECT_EQ(observer.keys.size(), 1u);
  ASSERT_NE(Find(outcome, JobFile::Kind::kPredictions), nullptr);
  const std::string npz = ReadFile(Find(outcome, JobFile::Kind::kPredictions)->path).value();
  EXPECT_THAT(npz, AllOf(HasSubstr("predictions.npy"), HasSubstr("(32, 3, )")));
  EXPECT_EQ(ReportOf(outcome)["task"]["steps"], 0);
}

TEST_F(RunningJobs, SequentialAttentionReachesTheSparsityAskedFor) {
  const JobSpec spec = SmallJob(folder_, MlpGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  // fc1: 8 x 32 in 4 x 4 blocks is 16, fc2: 48, head: 24 x 3 is 6 (ragged).
  EXPECT_EQ(report["layers"][0]["blocks_total"], 16);
  EXPECT_EQ(report["layers"][0]["blocks_live"], 4);
  EXPECT_EQ(report["layers"][1]["blocks_live"], 12);
  EXPECT_EQ(report["layers"][2]["blocks_total"], 6);
  EXPECT_EQ(report["layers"][2]["blocks_live"], 2);
  EXPECT_EQ(*outcome.sparsity_requested, 0.75);
  EXPECT_NEAR(*outcome.sparsity_reached, 0.75, 0.02);
  EXPECT_GT(outcome.pruned_metrics.at("accuracy"), 0.5);
  EXPECT_EQ(report["phases"].size(), 3u);
  EXPECT_EQ(report["phases"][1]["kind"], "sparsification");
  EXPECT_EQ(report["phases"][1]["begin"], 6);
  EXPECT_EQ(report["phases"][1]["end"], 21);
  EXPECT_EQ(report["history"].size(), 5u);
  EXPECT_TRUE(outcome.bit_exact);
}

TEST_F(RunningJobs, WritesTheSameWeightsToOnnxAndToTheBlockSparseFile) {
  const JobSpec spec = SmallJob(folder_, ConvGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path));
  ASSERT_OK_AND_ASSIGN(const BlockSparseModel sparse,
                       ReadBlockSparseFile(Find(outcome, JobFile::Kind::kBlockSparse)->path));
  EXPECT_EQ(SerializeOnnx(sparse.graph).value(), SerializeOnnx(graph).value());
  EXPECT_EQ(sparse.layouts.size(), 2u);  // c2 and head; c1 has 9 rows: 3 x 2 blocks.
}

TEST_F(RunningJobs, TheExportedModelMeasuresAsReported) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  JobSpec again = spec;
  again.model_path = Find(outcome, JobFile::Kind::kOnnx)->path;
  again.method = EvaluateSpec();
  again.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(again));
  EXPECT_EQ(measured.given_metrics, outcome.pruned_metrics);
  EXPECT_DOUBLE_EQ(*measured.sparsity_reached, *outcome.sparsity_reached);
}

TEST_F(RunningJobs, DenseComparisonIsTheDenseMethodOnTheSameJob) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.outputs.train_dense_comparison = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome both, Run(spec));
  JobSpec dense = spec;
  dense.method = DenseOptions();
  dense.target.reset();
  dense.outputs = OutputsSpec();
  ASSERT_OK_AND_ASSIGN(const JobOutcome alone, Run(dense));
  EXPECT_EQ(both.dense_metrics, alone.dense_metrics);
  EXPECT_EQ(both.given_metrics, alone.given_metrics);
  spec.outputs.train_dense_comparison = false;
  ASSERT_OK_AND_ASSIGN(const JobOutcome without, Run(spec));
  EXPECT_EQ(DigestOf(both, JobFile::Kind::kOnnx), DigestOf(without, JobFile::Kind::kOnnx));
  EXPECT_TRUE(without.dense_metrics.empty());
}

// ---- Stopping and going on ----------------------------------------------------------------------

TEST_F(RunningJobs, StopsWithCancelledWhenTold) {
  RecordingObserver observer;
  observer.act_after = 12;
  observer.action = JobControl::kStop;
  EXPECT_THAT(Run(SmallJob(folder_, MlpGraph()), &observer).status(),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(RunningJobs, HandsBackWithACheckpointOfTheStepReached) {
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  observer.act_after = 15;
  observer.action = JobControl::kHandBack;
  EXPECT_THAT(Run(SmallJob(folder_, MlpGraph()), &observer).status(),
              StatusIs(absl::StatusCode::kAborted));
  ASSERT_FALSE(observer.checkpoint_steps.empty());
}

TEST_F(RunningJobs, WritesCheckpointsAtPhaseEnds) {
  RecordingObserver observer;
  ASSERT_OK(Run(SmallJob(folder_, MlpGraph()), &observer).status());
  EXPECT_THAT(observer.checkpoint_steps, testing::ElementsAre(0, 6, 21, 30));
}

TEST_F(RunningJobs, GoesOnWhenACheckpointCannotBeStored) {
  RecordingObserver observer;
  observer.checkpoints_to_fail = 1000;
  EXPECT_OK(Run(SmallJob(folder_, MlpGraph()), &observer).status());
}

// Wants `action` from the sixth step on, which ends the first epoch: during its evaluation.
class ActingInTheEvaluation : public TickingObserver {
 public:
  ActingInTheEvaluation(FakeClock* clock, JobControl action) : TickingObserver(clock) {
    this->action = action;
  }
  void OnProgress(const JobProgress& p) override {
    if (p.step >= 6) act_after = 0;
    TickingObserver::OnProgress(p);
  }
};

TEST_F(RunningJobs, AStopEndsTheEvaluationOfAnEpochAtOnce) {
  ActingInTheEvaluation observer(&clock_, JobControl::kStop);
  EXPECT_THAT(Run(SmallJob(folder_, MlpGraph()), &observer).status(),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(observer.checkpoint_steps.back(), 5);
}

TEST_F(RunningJobs, AHandBackLeavesTheEvaluationOfAnEpochToTheNextAttempt) {
  const JobSpec spec = SmallJob(folder_, MlpGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec));
  ActingInTheEvaluation observer(&clock_, JobControl::kHandBack);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_THAT(Run(spec, &observer).status(), StatusIs(absl::StatusCode::kAborted));
  ASSERT_EQ(observer.checkpoint_steps.back(), 6);
  ASSERT_OK_AND_ASSIGN(const Checkpoint left, ReadCheckpoint(observer.CheckpointPath(6)));
  EXPECT_THAT(left.record.history, testing::IsEmpty());
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(6)));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
}

TEST_F(RunningJobs, ResumesInsideTheDenseComparisonToo) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.outputs.train_dense_comparison = true;
  RecordingObserver whole;
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &whole));
  EXPECT_THAT(whole.checkpoint_steps, testing::ElementsAre(0, 30, 36, 51, 60)) << "must only rise";
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  observer.act_after = 30;
  observer.action = JobControl::kHandBack;
  ASSERT_THAT(Run(spec, &observer).status(), StatusIs(absl::StatusCode::kAborted));
  const int64_t step = observer.checkpoint_steps.back();
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(step)));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
}

TEST_F(RunningJobs, BeginsAnewWhereTheCheckpointIsOfNoUse) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK(Run(spec, &observer).status());
  spec.method = MagnitudeOptions();
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome anew, Run(spec, &quiet, observer.CheckpointPath(6)));
  EXPECT_EQ(DigestOf(anew, JobFile::Kind::kOnnx), DigestOf(*Run(spec), JobFile::Kind::kOnnx));
}

TEST_F(RunningJobs, KeepsTheLastCheckpointWhenAsked) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.outputs.keep_checkpoint = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const JobFile* file = Find(outcome, JobFile::Kind::kCheckpoint);
  ASSERT_NE(file, nullptr);
  EXPECT_OK(ReadCheckpoint(file->path).status());
}

TEST_F(RunningJobs, KeepsACheckpointAlsoWhenResumedAfterTheLastStep) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.outputs.keep_checkpoint = true;
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(30)));
  const JobFile* file = Find(resumed, JobFile::Kind::kCheckpoint);
  ASSERT_NE(file, nullptr);
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, ReadCheckpoint(file->path));
  EXPECT_EQ(checkpoint.step, 30);
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
}

TEST_F(RunningJobs, AnotherDeterminismKeyIsNotBitExactAnyMore) {
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  const JobSpec spec = SmallJob(folder_, MlpGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome first, Run(spec, &observer));
  EXPECT_TRUE(first.bit_exact);
  required_key_ = observer.keys.at(0);
  ASSERT_OK_AND_ASSIGN(const JobOutcome same, Run(spec));
  EXPECT_TRUE(same.bit_exact);
  required_key_->isa = "avx512_core_amx";
  ASSERT_OK_AND_ASSIGN(const JobOutcome other, Run(spec, &observer, observer.CheckpointPath(6)));
  EXPECT_FALSE(other.bit_exact);
  EXPECT_EQ(ReportOf(other)["bit_exact"], false);
}

TEST_F(RunningJobs, ReportsProgressWithSparsityAndMetrics) {
  RecordingObserver observer;
  TickingObserver ticking(&clock_);
  ASSERT_OK(Run(SmallJob(folder_, MlpGraph()), &ticking).status());
  EXPECT_EQ(ticking.progress.front().phase, "load");
  EXPECT_EQ(ticking.progress.back().phase, "export");
  std::vector<std::string> phases;
  for (const JobProgress& p : ticking.progress) {
    if (phases.empty() || phases.back() != p.phase) phases.push_back(p.phase);
  }
  EXPECT_THAT(phases, testing::ElementsAre("load", "evaluate", "plan", "dense", "sparsification",
                                           "sparse", "batch_norm", "evaluate", "export"));
  const JobProgress& last = ticking.progress.back();
  EXPECT_EQ(last.step, 30);
  EXPECT_EQ(last.total_steps, 30);
  EXPECT_NEAR(*last.sparsity, 0.75, 0.02);
  EXPECT_EQ(last.metrics.count("accuracy"), 1u);
  EXPECT_GT(*last.samples_per_second, 0);
}

// ---- Errors -------------------------------------------------------------------------------------

TEST_F(RunningJobs, DivergenceNamesStepAndRemedy) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.task.learning_rate.base = 1e30;
  spec.method = DenseOptions();
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           AllOf(HasSubstr("diverged"), HasSubstr("step"),
                                                 HasSubstr("learning_rate"))));
}

TEST_F(RunningJobs, AMemoryLimitIsRefusedWithFigures) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.memory_limit_bytes = 1000;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("'fc1.weight'"), HasSubstr("memory_bytes"))));
  spec.memory_limit_bytes = 20000;  // Enough for model and data, not for training.
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                           AllOf(HasSubstr("MiB"), HasSubstr("memory_bytes"))));
}

struct BadJob {
  std::string name;
  std::function<void(JobSpec*)> change;
  absl::StatusCode code;
  std::string message;
};

class JobsThatAreWrong : public RunningJobs, public testing::WithParamInterface<BadJob> {};

TEST_P(JobsThatAreWrong, FailBeforeTheyTrain) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  GetParam().change(&spec);
  RecordingObserver observer;
  EXPECT_THAT(Run(spec, &observer).status(),
              StatusIs(GetParam().code, HasSubstr(GetParam().message)));
  EXPECT_TRUE(observer.checkpoint_steps.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, JobsThatAreWrong,
    testing::Values(BadJob{"NoTarget", [](JobSpec* s) { s->target.reset(); },
                           absl::StatusCode::kInvalidArgument, "spec.target"},
                    BadJob{"PatternMatchesNothing",
                           [](JobSpec* s) { s->target->exclude_layers = {"conv*"}; },
                           absl::StatusCode::kInvalidArgument, "exclude_layers[0]"},
                    BadJob{"LayersTooSmall", [](JobSpec* s) { s->target->min_blocks = 1000; },
                           absl::StatusCode::kInvalidArgument, "min_blocks"},
                    BadJob{"NoSuchModel", [](JobSpec* s) { s->model_path += 'x'; },
                           absl::StatusCode::kNotFound, "in.onnx"},
                    BadJob{"WrongFeatureCount",
                           [](JobSpec* s) {
                             WriteClassCsv(std::get<CsvSourceSpec>(s->data.train).path, 20, 7);
                           },
                           absl::StatusCode::kInvalidArgument, "spec.data.train"},
                    BadJob{"LabelOutOfRange",
                           [](JobSpec* s) {
                             std::ofstream(std::get<CsvSourceSpec>(*s->data.evaluation).path)
                                 << "a,b,c,d,e,f,g,h,label\n1,2,3,4,5,6,7,8,3\n";
                           },
                           absl::StatusCode::kInvalidArgument, "spec.data.evaluation"},
                    BadJob{"LossThatDoesNotFit",
                           [](JobSpec* s) { s->task.loss = LossSpec::kBinaryCrossEntropy; },
                           absl::StatusCode::kInvalidArgument, ""},
                    BadJob{"WarmUpLongerThanTheRun",
                           [](JobSpec* s) { s->task.learning_rate.warmup_steps = 1000; },
                           absl::StatusCode::kInvalidArgument, "warmup_steps"},
                    BadJob{"LastPhaseDense",
                           [](JobSpec* s) {
                             SequentialAttentionPlusPlusOptions method;
                             method.phases = {{PhaseKind::kDense, 1}};
                             s->method = method;
                           },
                           absl::StatusCode::kInvalidArgument, "phase"}),
    [](const testing::TestParamInfo<BadJob>& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
