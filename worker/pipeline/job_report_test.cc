// What the report of a job says besides metrics, costs and files.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "common/fake_clock.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

class JobReports : public testing::Test {
 protected:
  absl::StatusOr<JobOutcome> Run(const JobSpec& spec,
                                 const BackendFactory& backends = NewReferenceBackend) {
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    return PipelineRunner(backends, &costs_, &clock_).Run(attempt, &observer_);
  }
  static nlohmann::json ReportOf(const JobOutcome& outcome) {
    for (const JobFile& file : outcome.files) {
      if (file.kind != JobFile::Kind::kReport) continue;
      return nlohmann::json::parse(ReadFile(file.path).value());
    }
    return {};
  }

  FixedLayerCosts costs_;
  FakeClock clock_;
  RecordingObserver observer_;
  const std::string folder_ = NewTestFolder();
};

TEST_F(JobReports, GiveTheSparsityRequestedOfEachLayerUnlessLayersCompete) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.target->exclude_layers = {"head*"};
  ASSERT_OK_AND_ASSIGN(const JobOutcome uniform, Run(spec));
  const nlohmann::json uniform_report = ReportOf(uniform);
  for (const nlohmann::json& layer : uniform_report["layers"]) {
    EXPECT_EQ(layer.contains("sparsity_requested"), layer["pruned"].get<bool>()) << layer;
    if (layer["pruned"]) {
      EXPECT_EQ(layer["sparsity_requested"], 0.75);
    }
  }
  spec.target->budget = BudgetKind::kGlobal;
  ASSERT_OK_AND_ASSIGN(const JobOutcome global, Run(spec));
  const nlohmann::json global_report = ReportOf(global);
  for (const nlohmann::json& layer : global_report["layers"]) {
    EXPECT_FALSE(layer.contains("sparsity_requested")) << layer;
  }
}

// The reference under the name of the precision that it was asked for.
class NamedPrecision : public ReferenceBackend {
 public:
  explicit NamedPrecision(Precision precision) : precision_(precision) {}
  BackendInfo info() const override {
    BackendInfo info = ReferenceBackend::info();
    info.precision = precision_;
    return info;
  }

 private:
  const Precision precision_;
};

TEST_F(JobReports, NameThePrecisionWhichIsPartOfTheKey) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  const BackendFactory backends = [](int, Precision precision) {
    return std::make_unique<NamedPrecision>(precision);
  };
  ASSERT_OK_AND_ASSIGN(const JobOutcome float32, Run(spec, backends));
  EXPECT_EQ(ReportOf(float32)["environment"]["precision"], "float32");
  spec.task.precision = PrecisionSpec::kBfloat16;
  ASSERT_OK_AND_ASSIGN(const JobOutcome bfloat16, Run(spec, backends));
  EXPECT_EQ(ReportOf(bfloat16)["environment"]["precision"], "bfloat16");
  ASSERT_EQ(observer_.keys.size(), 2u);
  EXPECT_NE(observer_.keys[0].plan_digest, observer_.keys[1].plan_digest);
}

TEST_F(JobReports, HoldTheLatencyOfWhatTheJobLeavesBehind) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.outputs.latency_batches = {1, 16};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json latency = ReportOf(outcome)["latency"];
  ASSERT_EQ(latency.size(), 2u);
  EXPECT_EQ(latency[0]["batch"], 1);
  EXPECT_EQ(latency[1]["batch"], 16);
  EXPECT_GT(latency[1]["block_sparse"]["p50_seconds"], 0);
  EXPECT_THAT(latency[1]["sparse_weights"], testing::IsSupersetOf({"fc1.weight", "fc2.weight"}));
  // FixedLayerCosts: at and below a density of 0.5.
  EXPECT_EQ(latency[1]["break_even_sparsity"]["fc1.weight"], 0.5);
  EXPECT_EQ(ReportOf(outcome)["layers"][0]["training_break_even_sparsity"], 0.5);
  spec.method = EvaluateSpec();
  spec.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome evaluated, Run(spec));
  EXPECT_EQ(ReportOf(evaluated)["latency"].size(), 2u);
  EXPECT_FALSE(ReportOf(evaluated)["latency"][0].contains("block_sparse"));
}

TEST_F(JobReports, SayWhereThereIsNoMemoryForALatencyAndTheJobIsDone) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.memory_limit_bytes = 1 << 20;
  spec.outputs.latency_batches = {8, 65536};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  ASSERT_EQ(report["latency"].size(), 1u);
  EXPECT_EQ(report["latency"][0]["batch"], 8);
  EXPECT_THAT(report["warnings"].back().get<std::string>(),
              testing::HasSubstr("the latency at batch 65536 was not measured"));
}

// A graph whose only batch is 1.
TEST_F(JobReports, RefuseALatencyThatTheModelCannotHaveBeforeTheJobTrains) {
  Graph graph = MlpGraph();
  graph.inputs[0].dims[0] = {1, ""};
  JobSpec spec = SmallJob(folder_, graph);
  spec.task.batch_size = 1;
  spec.task.epochs = 1;
  spec.outputs.latency_batches = {1};
  EXPECT_OK(Run(spec).status());
  observer_.keys.clear();
  spec.outputs.latency_batches = {1, 8};
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("spec.outputs.latency_batch_sizes: 8: ")));
  EXPECT_THAT(observer_.keys, testing::IsEmpty());
}

}  // namespace
}  // namespace topiary
