#include "worker/pipeline/shrunk_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

absl::Status GoOn() { return absl::OkStatus(); }

// Rows of a Linear's weight and bias: what it makes of its inputs becomes `bias`.
void EmptyNeuron(Graph* graph, const std::string& layer, int64_t neuron, float bias) {
  Tensor& weight = graph->FindInitializer(layer + ".weight")->value;
  const int64_t inputs = weight.shape()[1];
  std::fill_n(weight.data<float>() + neuron * inputs, inputs, 0.0F);
  graph->FindInitializer(layer + ".bias")->value.data<float>()[neuron] = bias;
}

Dataset Examples() {
  Dataset data;
  Tensor x(DType::kFloat32, Shape({6, 8}));
  Random random(3, kStreamTest, 0);
  for (float& value : x.span<float>()) value = random.Normal();
  data.inputs.push_back({"x", std::move(x)});
  return data;
}

TEST(ShrinkAndCompare, GivesTheNarrowerModelAndWhatIsGone) {
  Graph graph = MlpGraph();
  EmptyNeuron(&graph, "fc1", 3, 0.5F);
  EmptyNeuron(&graph, "fc2", 0, -1);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto shrunk,
                       ShrinkAndCompare(graph, Examples(), 4, std::nullopt, &backend, GoOn));
  ASSERT_TRUE(shrunk.has_value());
  const ShrunkReport report = DescribeShrunk(graph, *shrunk);
  // 8 weights and a bias of fc1's neuron, its 24 columns; 31 weights of fc2's, a bias, 3 columns.
  // The ratio of Dropout is a number of both.
  EXPECT_EQ(report.parameters_before, 8 * 32 + 32 + 32 * 24 + 24 + 24 * 3 + 3 + 1);
  EXPECT_EQ(report.parameters_before - report.parameters_after, 9 + 24 + 31 + 1 + 3);
  ASSERT_EQ(report.tensors.size(), 5u);
  EXPECT_EQ(report.tensors[0].name, "fc1.weight");
  EXPECT_EQ(report.tensors[0].before, Shape({32, 8}));
  EXPECT_EQ(report.tensors[0].after, Shape({31, 8}));
}

TEST(ShrinkAndCompare, GivesNothingWhereNothingIsEmpty) {
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto shrunk,
                       ShrinkAndCompare(MlpGraph(), Examples(), 4, std::nullopt, &backend, GoOn));
  EXPECT_FALSE(shrunk.has_value());
}

// Folding rounds away what is left once a neuron that stays has cancelled the constant.
TEST(ShrinkAndCompare, RefusesAModelThatComputesSomethingElse) {
  Graph graph = MlpGraph();
  EmptyNeuron(&graph, "fc2", 0, 1e9F);
  EmptyNeuron(&graph, "fc2", 1, 1e9F);
  graph.FindInitializer("fc2.weight")->value.data<float>()[32] = 1e-6F;
  for (int64_t i = 0; i < 3; ++i) {
    graph.FindInitializer("head.weight")->value.data<float>()[i * 24] = 1;
    graph.FindInitializer("head.weight")->value.data<float>()[i * 24 + 1] = -1;
    graph.FindInitializer("head.bias")->value.data<float>()[i] = 7.5F;
  }
  ReferenceBackend backend;
  EXPECT_THAT(ShrinkAndCompare(graph, Examples(), 4, std::nullopt, &backend, GoOn).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("output 0 is off by")));
}

TEST(ShrinkAndCompare, RefusesMoreMemoryThanItMayUse) {
  Graph graph = MlpGraph();
  EmptyNeuron(&graph, "fc1", 3, 0.5F);
  ReferenceBackend backend;
  EXPECT_THAT(ShrinkAndCompare(graph, Examples(), 4, 64, &backend, GoOn).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("the job may use 0 MiB")));
  LoadedJob job;
  job.data.evaluation = Examples();
  job.batch = 4;
  JobSpec spec;
  spec.memory_limit_bytes = 1;
  std::vector<std::string> warnings;
  ASSERT_OK_AND_ASSIGN(const auto refused,
                       TryToShrink(spec, job, graph, &backend, GoOn, &warnings));
  EXPECT_FALSE(refused.has_value());
  EXPECT_THAT(warnings,
              testing::ElementsAre(HasSubstr("finding the channels that go together takes")));
  warnings.clear();
  spec.memory_limit_bytes = int64_t{1} << 20;
  ASSERT_OK_AND_ASSIGN(const auto made, TryToShrink(spec, job, graph, &backend, GoOn, &warnings));
  EXPECT_TRUE(made.has_value());
  EXPECT_THAT(warnings, testing::IsEmpty());
}

TEST(ShrinkAndCompare, EndsWhenTold) {
  ReferenceBackend backend;
  EXPECT_THAT(ShrinkAndCompare(MlpGraph(), Examples(), 4, std::nullopt, &backend,
                               [] { return absl::CancelledError("stopped"); })
                  .status(),
              StatusIs(absl::StatusCode::kCancelled));
}

class JobsThatShrink : public testing::Test {
 protected:
  // Each block is all that makes a neuron of the first layer.
  JobSpec Emptying() {
    JobSpec spec = SmallJob(folder_, MlpGraph());
    spec.method = MagnitudeOptions();
    spec.target->block_rows = 8;
    spec.target->block_cols = 1;
    return spec;
  }
  JobOutcome Run(const JobSpec& spec) {
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    RecordingObserver observer;
    auto outcome = PipelineRunner(NewReferenceBackend, &costs_, &clock_).Run(attempt, &observer);
    EXPECT_OK(outcome.status());
    return outcome.ok() ? *std::move(outcome) : JobOutcome();
  }
  static std::string PathOf(const JobOutcome& outcome, JobFile::Kind kind) {
    for (const JobFile& file : outcome.files) {
      if (file.kind == kind) return file.path;
    }
    return "";
  }
  static nlohmann::json ReportOf(const JobOutcome& outcome) {
    return nlohmann::json::parse(ReadFile(PathOf(outcome, JobFile::Kind::kReport)).value());
  }

  FixedLayerCosts costs_;
  FakeClock clock_;
  const std::string folder_ = NewTestFolder();
};

TEST_F(JobsThatShrink, LeaveTheNarrowerModelBehindToo) {
  const JobOutcome outcome = Run(Emptying());
  const std::string path = PathOf(outcome, JobFile::Kind::kShrunkOnnx);
  EXPECT_THAT(path, testing::EndsWith("/model.shrunk.onnx"));
  ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(path));
  EXPECT_EQ(graph.FindInitializer("fc1.weight")->value.shape(), Shape({8, 8}));
  const nlohmann::json shrunk = ReportOf(outcome)["shrunk"];
  EXPECT_EQ(shrunk["file"], "model.shrunk.onnx");
  EXPECT_EQ(shrunk["bytes"], ReadFile(path).value().size());
  EXPECT_LT(shrunk["parameters"]["after"], shrunk["parameters"]["before"]);
  EXPECT_EQ(shrunk["tensors"][0],
            nlohmann::json({{"name", "fc1.weight"}, {"before", {32, 8}}, {"after", {8, 8}}}));
}

TEST_F(JobsThatShrink, GiveTheSameBitsTwice) {
  std::vector<std::string> digests;
  for (int i = 0; i < 2; ++i) {
    digests.push_back(Sha256HexOfFile(PathOf(Run(Emptying()), JobFile::Kind::kShrunkOnnx)).value());
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(JobsThatShrink, MeasureTheNarrowerModelAsThePrunedOne) {
  const JobOutcome outcome = Run(Emptying());
  JobSpec again = Emptying();
  again.model_path = PathOf(outcome, JobFile::Kind::kShrunkOnnx);
  again.method = EvaluateSpec();
  again.target.reset();
  const JobOutcome measured = Run(again);
  for (const auto& [name, value] : outcome.pruned_metrics) {
    EXPECT_NEAR(measured.given_metrics.at(name), value, 1e-5) << name;
  }
}

TEST_F(JobsThatShrink, WriteNoSuchFileWhereNothingIsEmptyOrNoOnnxIsWanted) {
  JobSpec spec = Emptying();
  spec.outputs.onnx = false;
  JobOutcome outcome = Run(spec);
  EXPECT_EQ(PathOf(outcome, JobFile::Kind::kShrunkOnnx), "");
  EXPECT_FALSE(ReportOf(outcome).contains("shrunk"));
  spec = Emptying();
  spec.target->sparsity = 0.1;
  spec.target->block_rows = 2;
  outcome = Run(spec);
  EXPECT_EQ(PathOf(outcome, JobFile::Kind::kShrunkOnnx), "");
  EXPECT_FALSE(ReportOf(outcome).contains("shrunk"));
}

}  // namespace
}  // namespace topiary
