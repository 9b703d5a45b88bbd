// Jobs whose layers are planned before anything trains: latency budgets and dry runs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Two products of the same cost, which is most of what there is to do, and a small one.
Graph WideMlp() {
  GraphBuilder b({512});
  std::string v = b.Add("Relu", {b.Linear("fc1", "x", 512, 1024)});
  v = b.Add("Relu", {b.Linear("fc2", v, 1024, 512)});
  return b.Finish(b.Linear("head", v, 512, 3));
}

absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(int, Precision) {
  CpuBackendOptions options;
  options.threads = 2;
  return CpuBackend::Create(options);
}

class Planning : public testing::Test {
 protected:
  absl::StatusOr<JobOutcome> Run(const JobSpec& spec, RecordingObserver* observer,
                                 const std::string& checkpoint = "", double break_even = 0.5) {
    FixedLayerCosts costs(break_even);
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    attempt.checkpoint_path = checkpoint;
    return PipelineRunner(NewCpuBackend, &costs, &clock_).Run(attempt, observer);
  }
  static nlohmann::json ReportOf(const JobOutcome& outcome) {
    for (const JobFile& file : outcome.files) {
      if (file.kind != JobFile::Kind::kReport) continue;
      return nlohmann::json::parse(ReadFile(file.path).value());
    }
    return {};
  }
  static std::string ModelDigestOf(const JobOutcome& outcome) {
    for (const JobFile& file : outcome.files) {
      if (file.kind == JobFile::Kind::kOnnx) return Sha256HexOfFile(file.path).value();
    }
    return "";
  }
  JobSpec WideJob() const {
    JobSpec spec = SmallJob(folder_, WideMlp());
    spec.target->block_rows = 8;
    spec.target->block_cols = 32;
    return spec;
  }
  JobSpec JobWithLatencyBudget(double ratio) const {
    JobSpec spec = WideJob();
    spec.target->latency = LatencyBudgetSpec{ratio, 64};
    spec.target->exclude_layers = {"head*"};
    spec.outputs.latency_batches = {64};
    return spec;
  }

  FakeClock clock_;
  RecordingObserver observer_;
  const std::string folder_ = NewTestFolder();
};

TEST_F(Planning, ALatencyBudgetIsAllottedToTheLayersAndReached) {
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(JobWithLatencyBudget(0.85), &observer_));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["sparsity"]["budget"], "latency");
  EXPECT_EQ(report["sparsity"]["latency_requested"]["ratio"], 0.85);
  EXPECT_EQ(report["sparsity"]["latency_requested"]["batch"], 64);
  EXPECT_FALSE(report["sparsity"].contains("requested"));
  EXPECT_FALSE(outcome.sparsity_requested.has_value());
  ASSERT_THAT(report["layers"], SizeIs(3));
  std::vector<std::string> pruned;
  for (const nlohmann::json& layer : report["layers"]) {
    if (!layer["pruned"]) continue;
    pruned.push_back(layer["name"]);
    // Below that nothing is gained, by these costs.
    EXPECT_GE(layer["sparsity_requested"], 0.5) << layer;
    // To within half a block.
    EXPECT_NEAR(layer["sparsity"], layer["sparsity_requested"].get<double>(), 1e-3) << layer;
  }
  EXPECT_THAT(pruned, testing::Not(IsEmpty()));
  EXPECT_FALSE(report["layers"][2]["pruned"]);
  EXPECT_THAT(report["latency"][0]["sparse_weights"], testing::ElementsAreArray(pruned));
}

TEST_F(Planning, LaterAttemptsObeyTheAllotmentOfTheFirst) {
  const JobSpec spec = JobWithLatencyBudget(0.85);
  observer_.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer_));
  ASSERT_EQ(observer_.checkpoint_steps.front(), 0) << "before the first step";
  for (const int64_t step : {0, 21}) {
    RecordingObserver quiet;
    // By these costs a layer would have to be pruned much further.
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer_.CheckpointPath(step), /*break_even=*/0.1));
    EXPECT_EQ(ModelDigestOf(resumed), ModelDigestOf(straight)) << "from step " << step;
    EXPECT_EQ(quiet.keys.at(0).plan_digest, observer_.keys.at(0).plan_digest);
  }
}

// Who begins anew measures anew, and must not be held to what was measured before.
TEST_F(Planning, AKeyIsAnnouncedOnceThePlanIsStored) {
  const JobSpec spec = WideJob();
  ASSERT_OK(Run(spec, &observer_).status());
  EXPECT_THAT(observer_.keys, SizeIs(1));
  EXPECT_EQ(observer_.checkpoints_before_key, 1u);
  RecordingObserver fails_once;
  fails_once.checkpoints_to_fail = 1;
  ASSERT_OK(Run(spec, &fails_once).status());
  EXPECT_THAT(fails_once.keys, SizeIs(1));
  EXPECT_EQ(fails_once.checkpoints_before_key, 2u);
  RecordingObserver forgets;
  forgets.checkpoints_to_fail = 1000;
  ASSERT_OK(Run(spec, &forgets).status());
  EXPECT_THAT(forgets.keys, SizeIs(1));
  EXPECT_EQ(forgets.checkpoints_before_key, forgets.checkpoint_steps.size());
}

TEST_F(Planning, ALatencyThatCannotBeReachedFailsBeforeAnythingTrains) {
  EXPECT_THAT(Run(JobWithLatencyBudget(0.001), &observer_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       testing::AllOf(HasSubstr("spec.target.latency"), HasSubstr("at batch 64"),
                                      HasSubstr("allow a higher ratio"))));
  EXPECT_THAT(observer_.checkpoint_steps, IsEmpty());
}

TEST_F(Planning, ALatencyThatPruningDoesNotReachFailsToo) {
  EXPECT_THAT(
      Run(JobWithLatencyBudget(0.9), &observer_, "", /*break_even=*/0).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("least that was measured is 1")));
}

TEST_F(Planning, ABatchThatDoesNotFitIntoMemoryIsNotTried) {
  JobSpec spec = JobWithLatencyBudget(0.5);
  spec.target->latency->batch = 65536;
  spec.memory_limit_bytes = 64 << 20;
  EXPECT_THAT(Run(spec, &observer_).status(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(Planning, ADryRunReportsWhatWouldBeDoneAndTrainsNothing) {
  JobSpec spec = WideJob();
  spec.dry_run = true;
  spec.target->exclude_layers = {"head*"};
  spec.outputs.latency_batches = {1, 16};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer_));
  ASSERT_THAT(outcome.files, SizeIs(1)) << "a report and no model";
  EXPECT_THAT(outcome.given_metrics, IsEmpty());
  EXPECT_THAT(observer_.checkpoint_steps, IsEmpty());
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_TRUE(report["dry_run"]);
  EXPECT_EQ(report["layers"][0]["blocks_total"], 64 * 32);
  EXPECT_EQ(report["layers"][0]["blocks_live"], 64 * 32 / 4);
  EXPECT_EQ(report["layers"][0]["sparsity"], 0.75);
  EXPECT_LT(report["layers"][0]["stored_bytes"], report["layers"][0]["dense_bytes"]);
  EXPECT_EQ(report["layers"][0]["training_break_even_sparsity"], 0.5);
  EXPECT_EQ(report["layers"][2]["dense_reason"], "excluded by name");
  ASSERT_THAT(report["latency"], SizeIs(2));
  EXPECT_TRUE(report["latency"][1].contains("speedup"));
  EXPECT_GT(report["costs"]["memory_estimate_bytes"], 0);
  EXPECT_TRUE(report["costs"].contains("training_estimate_seconds"));
  EXPECT_THAT(report["phases"], SizeIs(3));
}

TEST_F(Planning, ADryRunOfADenseTrainingPrunesNothing) {
  JobSpec spec = WideJob();
  spec.dry_run = true;
  spec.method = DenseOptions();
  spec.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer_));
  EXPECT_EQ(ReportOf(outcome)["sparsity"]["reached"], 0);
}

TEST_F(Planning, ADryRunSaysWhatDoesNotPay) {
  JobSpec spec = WideJob();
  spec.dry_run = true;
  spec.outputs.latency_batches = {16};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer_, "", /*break_even=*/0.1));
  EXPECT_THAT(ReportOf(outcome)["latency"][0]["warning"].get<std::string>(),
              HasSubstr("'fc1.weight' (75 %, pays from 90 %)"));
}

}  // namespace
}  // namespace topiary
