// Jobs with embedding tables of which most rows lag behind when a checkpoint is written.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/data/testing/file_builder.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/training_loop.h"

namespace topiary {
namespace {

constexpr int64_t kRows = 8192;

// Three classes of two ids.
Graph ClickModel() {
  GraphBuilder b({2});
  const std::string rows = b.Add("Gather", {b.Weight("table", Shape({kRows, 8}), 1), "x"});
  Graph graph = b.Finish(b.Linear("head", b.Add("Flatten", {rows}), 16, 3));
  graph.inputs[0].dtype = DType::kInt64;
  return graph;
}

NpzSourceSpec WriteExamples(const std::string& path, int64_t count, uint64_t seed) {
  Random random(seed, kStreamTest, 0);
  std::vector<int64_t> ids, labels;
  for (int64_t i = 0; i < 2 * count; ++i) {
    // Some ids come often, most once or never.
    const uint64_t range = random.Below(2) == 0 ? 10 : kRows;
    ids.push_back(static_cast<int64_t>(random.Below(range)));
  }
  for (int64_t i = 0; i < count; ++i) labels.push_back(static_cast<int64_t>(random.Below(3)));
  const std::string n = std::to_string(count);
  CHECK_OK(
      WriteFileAtomically(path, ZipOf({{"x.npy", NpyOf<int64_t>("<i8", "(" + n + ", 2)", ids)},
                                       {"y.npy", NpyOf<int64_t>("<i8", "(" + n + ",)", labels)}})));
  NpzSourceSpec source;
  source.path = path;
  return source;
}

absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(int, Precision) {
  CpuBackendOptions options;
  options.threads = 2;
  return CpuBackend::Create(options);
}

class EmbeddingJobs : public testing::Test {
 protected:
  EmbeddingJobs() {
    spec_ = SmallJob(folder_, ConvGraph());
    CHECK_OK(ExportOnnx(ClickModel(), spec_.model_path));
    spec_.data.train = WriteExamples(folder_ + "/train.npz", 96, 1);
    spec_.data.evaluation = WriteExamples(folder_ + "/evaluation.npz", 32, 2);
    spec_.method = DenseOptions();
    spec_.target.reset();
  }

  // SHA-256 of the model that the job leaves behind.
  std::string DigestOfRun(RecordingObserver* observer, const std::string& checkpoint) {
    FakeClock clock;
    FixedLayerCosts costs;
    JobAttempt attempt;
    attempt.spec = spec_;
    attempt.work_folder = NewTestFolder();
    attempt.checkpoint_path = checkpoint;
    PipelineOptions options;
    options.checkpoint_interval = absl::ZeroDuration();  // After each step.
    PipelineRunner runner(NewCpuBackend, &costs, &clock, options);
    const absl::StatusOr<JobOutcome> outcome = runner.Run(attempt, observer);
    EXPECT_OK(outcome.status());
    if (!outcome.ok()) return "";
    for (const JobFile& file : outcome->files) {
      if (file.kind == JobFile::Kind::kOnnx) return Sha256HexOfFile(file.path).value();
    }
    return "";
  }

  const std::string folder_ = NewTestFolder();
  JobSpec spec_;
};

// In the midst of an epoch, at its end, where the model is evaluated, and after the last step.
TEST_F(EmbeddingJobs, RepeatTheBitsOfAnUndisturbedRunFromAnyCheckpoint) {
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  const std::string straight = DigestOfRun(&observer, "");
  ASSERT_NE(straight, "");
  ASSERT_OK_AND_ASSIGN(const Checkpoint midst, ReadCheckpoint(observer.CheckpointPath(4)));
  const absl::Span<const int32_t> missed =
      midst.training.at("missed_updates/table").span<int32_t>();
  EXPECT_GT(std::count(missed.begin(), missed.end(), 4), kRows / 2) << "most rows lag behind";
  for (const int64_t step : {1, 4, 6, 9, 29, 30}) {
    RecordingObserver quiet;
    EXPECT_EQ(DigestOfRun(&quiet, observer.CheckpointPath(step)), straight) << "from step " << step;
  }
}

// Rows that are scaled are updated each step, whatever the step reads.
TEST_F(EmbeddingJobs, PruneRowsAndRepeatTheirBits) {
  for (const MethodOptions& method :
       {MethodOptions(MagnitudeOptions()), MethodOptions(SequentialAttentionPlusPlusOptions())}) {
    spec_.method = method;
    spec_.target = PruningTargetSpec();
    spec_.target->sparsity = 0.75;
    spec_.target->structure = Structure::kEmbeddingRows;
    spec_.outputs.block_sparse = false;
    RecordingObserver observer;
    observer.checkpoint_folder = NewTestFolder();
    const std::string straight = DigestOfRun(&observer, "");
    ASSERT_NE(straight, "");
    for (const int64_t step : {4, 20}) {
      RecordingObserver quiet;
      EXPECT_EQ(DigestOfRun(&quiet, observer.CheckpointPath(step)), straight) << step;
    }
  }
}

// As magnitude pruning reads it to choose dimensions.
TEST(EmbeddingTables, AreReadByAMethodWithTheUpdatesThatRowsHaveNotHadYet) {
  ASSERT_OK_AND_ASSIGN(const auto backend, NewCpuBackend(1, Precision::kFloat32));
  const Graph graph = ClickModel();
  ASSERT_OK_AND_ASSIGN(const auto store,
                       ParameterStore::CreateWithTables(graph, {"table"}, backend.get()));
  ProgramOptions options;
  options.batch = 1;
  options.loss = LossKind::kSoftmaxCrossEntropy;
  ASSERT_OK_AND_ASSIGN(const auto program,
                       Program::Build(graph, store.get(), backend.get(), options));
  OptimizerOptions momentum;
  momentum.momentum = 0.9F;
  ASSERT_OK_AND_ASSIGN(const auto optimizer, Optimizer::Create(momentum, store.get()));
  for (const int64_t row : {5, 6, 7}) {
    std::fill_n(static_cast<int64_t*>(program->inputs()[0].data), 2, row);
    *static_cast<int32_t*>(program->labels().data) = 1;
    program->ForwardBackward();
    optimizer->Step(0.1F);
  }
  const float* lagging = store->Find("table")->value + 5 * 8;
  const std::vector<float> before(lagging, lagging + 8);
  StoreLayerTensors tensors(store.get(), {}, optimizer.get());
  const absl::Span<const float> table = tensors.RawWeight("table");
  EXPECT_NE(std::vector<float>(&table[5 * 8], &table[6 * 8]), before);
  const std::vector<float> read(table.begin(), table.end());
  optimizer->SettleRows();
  EXPECT_EQ(std::vector<float>(table.begin(), table.end()), read);
}

// What looks at all gradients, or changes rows that have none, updates tables whole.
TEST_F(EmbeddingJobs, TrainWithOtherOptimizersToo) {
  for (const auto kind : {OptimizerSpec::Kind::kAdam, OptimizerSpec::Kind::kAdamW}) {
    spec_.task.optimizer.kind = kind;
    RecordingObserver quiet;
    EXPECT_NE(DigestOfRun(&quiet, ""), "");
  }
  spec_.task.optimizer.kind = OptimizerSpec::Kind::kSgd;
  spec_.task.optimizer.weight_decay = 0.01;
  RecordingObserver decaying;
  EXPECT_NE(DigestOfRun(&decaying, ""), "");
  spec_.task.optimizer.weight_decay = 0;
  spec_.task.clip_gradient_norm = 1;
  RecordingObserver clipping;
  EXPECT_NE(DigestOfRun(&clipping, ""), "");
}

}  // namespace
}  // namespace topiary
