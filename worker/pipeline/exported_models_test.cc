// Jobs on models of sequences and ids, as PyTorch exports them
// (worker/engine/testing/pytorch/make_fixture.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/data/readers.h"
#include "worker/data/testing/file_builder.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/export/block_sparse_file.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

std::vector<int64_t> RandomIds(int64_t count, uint32_t below) {
  Random random(5, kStreamTest, below);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int64_t>(random.Below(below)));
  return ids;
}

std::string Ids(const std::string& shape, int64_t count, uint32_t below) {
  return NpyOf<int64_t>("<i8", shape, RandomIds(count, below));
}

// 48 sequences to be learnt by heart.
std::string DecoderData() {
  return ZipOf({{"x.npy", Ids("(48, 5)", 240, 11)}, {"y.npy", Ids("(48, 5)", 240, 11)}});
}

std::string ClickData() {
  const std::vector<int64_t> ids = RandomIds(96, 5);
  std::vector<float> numbers;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 48; ++i) {
    for (int k = 0; k < 3; ++k) numbers.push_back(static_cast<float>(ids[2 * i] - 2 + k));
    labels.push_back(ids[2 * i + 1] > 2 ? 1 : 0);
  }
  return ZipOf({{"ids.npy", NpyOf<int64_t>("<i8", "(48, 2)", ids)},
                {"numbers.npy", NpyOf<float>("<f4", "(48, 3)", numbers)},
                {"y.npy", NpyOf<int64_t>("<i8", "(48,)", labels)}});
}

absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(int threads, Precision) {
  CpuBackendOptions options;
  options.threads = threads;
  return CpuBackend::Create(options);
}

// With each backend.
class ExportedModels : public testing::TestWithParam<BackendFactory> {
 protected:
  JobSpec Job(const std::string& model, const std::string& data, LossSpec loss) {
    JobSpec spec;
    spec.model_path = "worker/engine/testing/pytorch/" + model + ".onnx";
    NpzSourceSpec source;
    source.path = folder_ + "/data.npz";
    CHECK_OK(WriteFileAtomically(source.path, data));
    spec.data.train = source;
    spec.data.evaluation = source;
    spec.task.loss = loss;
    spec.task.batch_size = 12;
    spec.task.epochs = 20;
    spec.task.learning_rate.base = 0.1;
    PruningTargetSpec target;
    target.sparsity = 0.5;
    target.block_rows = 2;
    target.block_cols = 2;
    target.min_blocks = 4;
    spec.target = target;
    return spec;
  }

  absl::StatusOr<JobOutcome> Run(const JobSpec& spec) {
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    RecordingObserver observer;
    PipelineRunner runner(GetParam(), &costs_, &clock_);
    return runner.Run(attempt, &observer);
  }

  static std::string PathOf(const JobOutcome& outcome, JobFile::Kind kind) {
    for (const JobFile& file : outcome.files) {
      if (file.kind == kind) return file.path;
    }
    ADD_FAILURE() << "no such file";
    return "";
  }

  static absl::StatusOr<Dataset> ReadPredictions(const JobOutcome& outcome) {
    NpzSource source;
    source.path = PathOf(outcome, JobFile::Kind::kPredictions);
    return ReadNpz(source);
  }

  // The pruned model, read back, measures as reported; so does the block-sparse file's content.
  void ExpectWhole(const JobSpec& spec, const JobOutcome& outcome) {
    JobSpec again = spec;
    again.model_path = PathOf(outcome, JobFile::Kind::kOnnx);
    again.method = EvaluateSpec();
    again.target.reset();
    ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(again));
    EXPECT_EQ(measured.given_metrics, outcome.pruned_metrics);
    ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(again.model_path));
    ASSERT_OK_AND_ASSIGN(const BlockSparseModel sparse,
                         ReadBlockSparseFile(PathOf(outcome, JobFile::Kind::kBlockSparse)));
    EXPECT_EQ(SerializeOnnx(sparse.graph).value(), SerializeOnnx(graph).value());
  }

  // The narrower model of `spec`, which prunes a structure: it measures as the pruned one does.
  Graph Narrowed(JobSpec spec) {
    spec.outputs.block_sparse = false;
    const auto outcome = Run(spec);
    EXPECT_OK(outcome.status());
    if (!outcome.ok()) return Graph();
    JobSpec again = spec;
    again.model_path = PathOf(*outcome, JobFile::Kind::kShrunkOnnx);
    again.method = EvaluateSpec();
    again.target.reset();
    const auto measured = Run(again);
    EXPECT_OK(measured.status());
    if (!measured.ok()) return Graph();
    for (const auto& [name, value] : outcome->pruned_metrics) {
      EXPECT_NEAR(measured->given_metrics.at(name), value, 1e-5) << name;
    }
    return ImportOnnx(again.model_path).value();
  }

  static Shape ShapeOf(const Graph& graph, const std::string& weight) {
    const Initializer* initializer = graph.FindInitializer(weight);
    return initializer == nullptr ? Shape() : initializer->value.shape();
  }

  FixedLayerCosts costs_;
  FakeClock clock_;
  const std::string folder_ = NewTestFolder();
};

TEST_P(ExportedModels, ADecoderIsTrainedPrunedAndExported) {
  const JobSpec spec = Job("small_decoder", DecoderData(), LossSpec::kCrossEntropy);
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_GT(outcome.pruned_metrics.at("accuracy"), outcome.given_metrics.at("accuracy"));
  // q, k, v, o: 16 blocks each; up and down: 24 each; the head: 24.
  EXPECT_NEAR(*outcome.sparsity_reached, 0.5, 0.02);
  ExpectWhole(spec, outcome);
}

// A block is all that makes the values of one of two heads.
TEST_P(ExportedModels, ADecoderLosesTheHeadThatPruningEmptied) {
  JobSpec spec = Job("small_decoder", DecoderData(), LossSpec::kCrossEntropy);
  spec.target->block_rows = 8;
  spec.target->block_cols = 4;
  spec.target->min_blocks = 2;
  spec.target->exclude_layers = {"*.o.*", "*.up.*", "*.down.*", "head*"};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  JobSpec again = spec;
  again.model_path = PathOf(outcome, JobFile::Kind::kShrunkOnnx);
  again.method = EvaluateSpec();
  again.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(again));
  for (const auto& [name, value] : outcome.pruned_metrics) {
    EXPECT_NEAR(measured.given_metrics.at(name), value, 1e-5) << name;
  }
  ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(again.model_path));
  EXPECT_EQ(graph.FindInitializer("block.v.weight")->value.shape(), Shape({4, 8}));
  EXPECT_EQ(graph.FindInitializer("block.o.weight")->value.shape(), Shape({8, 4}));
}

// Half of the two heads, the hidden units, the two branches: the narrower model measures the same.
TEST_P(ExportedModels, ADecoderLosesHeadsNeuronsAndBranches) {
  const auto narrow = [&](Structure structure) {
    JobSpec spec = Job("small_decoder", DecoderData(), LossSpec::kCrossEntropy);
    spec.target->structure = structure;
    spec.target->protect_first = spec.target->protect_last = 0;
    return Narrowed(spec);
  };
  const Graph heads = narrow(Structure::kHeads);
  for (const std::string part : {"q", "k", "v"}) {
    EXPECT_EQ(ShapeOf(heads, "block." + part + ".weight"), Shape({4, 8})) << part;
  }
  EXPECT_EQ(ShapeOf(heads, "block.o.weight"), Shape({8, 4}));
  const Graph neurons = narrow(Structure::kNeurons);
  EXPECT_EQ(ShapeOf(neurons, "block.up.weight"), Shape({6, 8}));
  EXPECT_EQ(ShapeOf(neurons, "block.down.weight"), Shape({8, 6}));
  const Graph branches = narrow(Structure::kBranches);
  const bool attends = branches.FindInitializer("block.o.weight") != nullptr;
  EXPECT_NE(attends, branches.FindInitializer("block.down.weight") != nullptr);
}

// By calibration, and without training: the head whose part of the output projection counts least.
TEST_P(ExportedModels, ADecoderLosesHeadsAndNeuronsByCalibration) {
  for (const MethodOptions& method :
       {MethodOptions(GroupObsOptions()), MethodOptions(SparseGptOptions()),
        MethodOptions(WandaOptions())}) {
    JobSpec spec = Job("small_decoder", DecoderData(), LossSpec::kCrossEntropy);
    spec.method = method;
    spec.task.epochs = 0;
    spec.target->structure = Structure::kHeads;
    EXPECT_EQ(ShapeOf(Narrowed(spec), "block.o.weight"), Shape({8, 4}));
    spec.target->structure = Structure::kNeurons;
    EXPECT_EQ(ShapeOf(Narrowed(spec), "block.down.weight"), Shape({8, 6}));
  }
}

// Rows of the last batch that are only padding count nowhere.
TEST_P(ExportedModels, TheSizeOfABatchDoesNotChangeWhatIsMeasured) {
  JobSpec spec = Job("small_decoder", DecoderData(), LossSpec::kCrossEntropy);
  EvaluateSpec evaluate;
  evaluate.return_predictions = true;
  spec.method = evaluate;
  spec.target.reset();
  spec.task.metrics = {MetricSpec::kAccuracy, MetricSpec::kLogLoss};
  spec.task.batch_size = 48;
  ASSERT_OK_AND_ASSIGN(const JobOutcome whole, Run(spec));
  spec.task.batch_size = 7;
  ASSERT_OK_AND_ASSIGN(const JobOutcome parts, Run(spec));
  EXPECT_EQ(parts.given_metrics.at("accuracy"), whole.given_metrics.at("accuracy"));
  EXPECT_NEAR(parts.given_metrics.at("log_loss"), whole.given_metrics.at("log_loss"), 1e-6);
  ASSERT_OK_AND_ASSIGN(const Dataset a, ReadPredictions(whole));
  ASSERT_OK_AND_ASSIGN(const Dataset b, ReadPredictions(parts));
  ASSERT_EQ(b.inputs[0].values.shape(), Shape({48, 5, 11}));
  for (int64_t i = 0; i < b.inputs[0].values.element_count(); ++i) {
    ASSERT_NEAR(b.inputs[0].values.data<float>()[i], a.inputs[0].values.data<float>()[i], 1e-5);
  }
}

TEST_P(ExportedModels, AClickModelIsTrainedPrunedAndExported) {
  const JobSpec spec = Job("small_click_model", ClickData(), LossSpec::kBinaryCrossEntropy);
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_GT(outcome.pruned_metrics.at("auc"), 0.8);
  EXPECT_GT(*outcome.sparsity_reached, 0.4);
  ExpectWhole(spec, outcome);
}

TEST_P(ExportedModels, AClickModelLosesPartsOfItsTables) {
  const auto narrow = [&](Structure structure) {
    JobSpec spec = Job("small_click_model", ClickData(), LossSpec::kBinaryCrossEntropy);
    spec.target->structure = structure;
    return Narrowed(spec);
  };
  const Graph dimensions = narrow(Structure::kEmbeddingDimensions);
  EXPECT_EQ(ShapeOf(dimensions, "tables.0.weight"), Shape({5, 2}));
  EXPECT_EQ(ShapeOf(dimensions, "tables.1.weight"), Shape({7, 2}));
  EXPECT_EQ(ShapeOf(dimensions, "hidden.weight"), Shape({6, 7}));
  const Graph tables = narrow(Structure::kEmbeddingTables);
  EXPECT_NE(tables.FindInitializer("tables.0.weight") == nullptr,
            tables.FindInitializer("tables.1.weight") == nullptr);
  EXPECT_EQ(ShapeOf(tables, "hidden.weight"), Shape({6, 7}));
}

INSTANTIATE_TEST_SUITE_P(Backends, ExportedModels,
                         testing::Values(NewReferenceBackend, NewCpuBackend),
                         [](const testing::TestParamInfo<BackendFactory>& info) {
                           return info.index == 0 ? "reference" : "cpu";
                         });

}  // namespace
}  // namespace topiary
