// Jobs of method benchmark.

#include "worker/pipeline/benchmark_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class Benchmarks : public testing::Test {
 protected:
  absl::StatusOr<JobOutcome> Run(const JobSpec& spec) {
    FixedLayerCosts costs;
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    return PipelineRunner(NewReferenceBackend, &costs, &clock_).Run(attempt, &observer_);
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
  static JobSpec BenchmarkOf(const std::string& model) {
    JobSpec spec;
    spec.method = BenchmarkSpec();
    spec.model_path = model;
    spec.outputs.latency_batches = {1, 8};
    return spec;
  }

  FakeClock clock_;
  RecordingObserver observer_;
  const std::string folder_ = NewTestFolder();
};

TEST_F(Benchmarks, OfAJobsFilesTimeThemWholeAndNodeByNode) {
  const JobSpec training = SmallJob(folder_, MlpGraph());
  ASSERT_OK_AND_ASSIGN(const JobOutcome trained, Run(training));
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome,
                       Run(BenchmarkOf(PathOf(trained, JobFile::Kind::kBlockSparse))));
  EXPECT_THAT(outcome.files, SizeIs(1));
  EXPECT_NEAR(*outcome.sparsity_reached, 0.75, 0.02);
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["method"], "benchmark");
  EXPECT_EQ(report["layers"][0]["blocks_total"], 16);
  EXPECT_EQ(report["layers"][0]["blocks_live"], 4);
  ASSERT_THAT(report["latency"], SizeIs(2));
  const nlohmann::json& batch = report["latency"][1];
  EXPECT_EQ(batch["batch"], 8);
  EXPECT_GT(batch["dense"]["examples_per_second"], 0);
  EXPECT_GT(batch["block_sparse"]["examples_per_second"], 0);
  EXPECT_THAT(batch["sparse_weights"], ElementsAre("fc1.weight", "fc2.weight", "head.weight"));
  ASSERT_THAT(batch["nodes"], SizeIs(testing::Ge(3)));
  for (const nlohmann::json& node : batch["nodes"]) {
    EXPECT_GE(node["dense_seconds"], 0) << node;
    EXPECT_TRUE(node.contains("block_sparse_seconds")) << node;
  }

  ASSERT_OK_AND_ASSIGN(const JobOutcome dense,
                       Run(BenchmarkOf(PathOf(trained, JobFile::Kind::kOnnx))));
  EXPECT_FALSE(ReportOf(dense)["latency"][0].contains("block_sparse"))
      << "an ONNX file does not say what was pruned";
}

TEST(RandomInputs, HaveIdsThatLieInTheirTables) {
  const std::map<std::string, std::vector<int64_t>> limits = {
      {"ids", {5, 1, std::numeric_limits<int64_t>::max()}}};
  std::vector<int64_t> ids(90, -7);
  std::vector<float> numbers(40, 0);
  const std::vector<StagedTensor> inputs = {{"ids", DType::kInt64, Shape({30, 3}), ids.data()},
                                            {"x", DType::kFloat32, Shape({4, 10}), numbers.data()}};
  RandomInputs(limits)(inputs);
  std::set<int64_t> first;
  for (int i = 0; i < 30; ++i) {
    first.insert(ids[3 * i]);
    EXPECT_EQ(ids[3 * i + 1], 0);
    EXPECT_EQ(ids[3 * i + 2], 0) << "read by nothing";
  }
  EXPECT_THAT(first, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_GT(std::set<float>(numbers.begin(), numbers.end()).size(), 35u);
}

TEST_F(Benchmarks, OfWhatIsNoModelOrDoesNotFitFail) {
  EXPECT_THAT(Run(BenchmarkOf(folder_ + "/none.onnx")).status(),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(WriteFileAtomically(folder_ + "/bad.safetensors", "what is this?"));
  EXPECT_THAT(Run(BenchmarkOf(folder_ + "/bad.safetensors")).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  JobSpec spec = BenchmarkOf(folder_ + "/wide.onnx");
  ASSERT_OK(ExportOnnx(MlpGraph(), spec.model_path));
  spec.memory_limit_bytes = 1 << 20;
  spec.outputs.latency_batches = {1, 65536};
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                           HasSubstr("spec.outputs.latency_batch_sizes: 65536")));
}

}  // namespace
}  // namespace topiary
