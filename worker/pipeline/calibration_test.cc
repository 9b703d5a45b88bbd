#include "worker/pipeline/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/calibrating_jobs_test_util.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/calibration.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

// All examples are drawn, so that their order does not matter: each layer is pruned by what a
// network computed by hand, pruned up to there, feeds it.
TEST_F(CalibratingJobs, EachLayerSeesWhatTheLayersPrunedBeforeItLetThrough) {
  const JobSpec spec = Job(MlpGraph(), WandaOptions());
  RecordingObserver observer;
  const JobReporter reporter(&observer, &clock_);
  ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter));
  const Graph& given = job.graph;
  Graph left = given.Clone();
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const Calibration found,
                       PruneByCalibration(spec, job, &backend, reporter.checker()));
  ASSERT_EQ(found.supports.size(), 3u);

  const absl::Span<const float> examples = job.data.train.inputs[0].values.span<float>();
  std::vector<double> x(examples.begin(), examples.end());
  std::vector<double> unpruned_x = x;
  ASSERT_EQ(x.size(), 96u * 8);
  const std::vector<std::string> layers = {"fc1", "fc2", "head"};
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerChoice& choice = job.choices[i];
    ASSERT_EQ(choice.layer.weight, layers[i] + ".weight");
    const Tensor weight = given.FindInitializer(choice.layer.weight)->value.Clone();
    const auto prune = [&](const std::vector<double>& inputs, std::vector<float>* values) {
      CalibratedLayer layer;
      layer.partition = choice.partition;
      layer.sparsity = 0.75;
      const std::vector<double> squares = MeanSquares(inputs, choice.layer.rows);
      layer.moments = [&](int64_t) { return squares; };
      layer.weight = absl::MakeSpan(*values);
      layer.backend = &backend;
      return PruneCalibrated(WandaOptions(), layer).value();
    };
    std::vector<float> pruned(weight.span<float>().begin(), weight.span<float>().end());
    EXPECT_EQ(prune(x, &pruned), found.supports[i]) << layers[i];
    // The test sees a difference between what a pruned network feeds the layer and what the given.
    if (layers[i] == "head") {
      EXPECT_NE(MeanSquares(x, 24), MeanSquares(unpruned_x, 24));
    }
    const Tensor& weights = found.weights.at(choice.layer.weight);
    EXPECT_EQ(std::vector<float>(weights.span<float>().begin(), weights.span<float>().end()),
              pruned)
        << layers[i];
    ASSERT_OK(left.ReplaceInitializer(choice.layer.weight, weights.Clone()));
    x = LinearAndRelu(x, choice.layer.rows, left, layers[i]);
    unpruned_x = LinearAndRelu(unpruned_x, choice.layer.rows, given, layers[i]);
  }
}

// Two layers that read the same at two depths: once "q" is pruned, "k" reads something else at the
// second, as though "q" had been given so.
TEST_F(CalibratingJobs, SeeWhatPruningAWeightThatIsUsedTwiceHasChanged) {
  GraphBuilder b({12});
  const std::string q = b.Weight("q", Shape({12, 12}), 0.4F);
  const std::string k = b.Weight("k", Shape({12, 12}), 0.4F);
  std::string v = "x";
  for (int depth = 0; depth < 2; ++depth) {
    v = b.Add("Relu", {b.Add("Add", {b.Add("MatMul", {v, q}), b.Add("MatMul", {v, k})})});
  }
  Graph graph = b.Finish(b.Linear("head", v, 12, 3));
  RecordingObserver observer;
  const JobReporter reporter(&observer, &clock_);
  ReferenceBackend backend;
  const auto calibrate = [&](std::vector<std::string> excluded) {
    JobSpec spec = Job(graph, WandaOptions());
    spec.target->block_rows = spec.target->block_cols = 1;
    spec.target->exclude_layers = std::move(excluded);
    const LoadedJob job = LoadJob(spec, reporter).value();
    return PruneByCalibration(spec, job, &backend, reporter.checker()).value().weights;
  };
  const CalibratedWeights both = calibrate({});
  ASSERT_OK(graph.ReplaceInitializer("q", both.at("q").Clone()));
  const CalibratedWeights k_alone = calibrate({"q"});
  ASSERT_EQ(k_alone.count("q"), 0u);
  EXPECT_EQ(both.at("k").span<float>(), k_alone.at("k").span<float>());
}

TEST_F(CalibratingJobs, EndWithoutTrainingUnlessTold) {
  const JobSpec spec = Job(MlpGraph(), WandaOptions());
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["layers"][0]["blocks_live"], 4);
  EXPECT_EQ(report["layers"][1]["blocks_live"], 12);
  EXPECT_EQ(report["task"]["steps"], 0);
  EXPECT_TRUE(outcome.pruned_metrics.count("accuracy") > 0);
  ASSERT_OK_AND_ASSIGN(const Graph given, ImportOnnx(spec.model_path));
  ASSERT_OK_AND_ASSIGN(const Graph pruned, ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path));
  // Wanda changes what it prunes and nothing else.
  for (const Initializer& initializer : given.initializers) {
    if (initializer.value.dtype() != DType::kFloat32) continue;
    const Tensor& left = pruned.FindInitializer(initializer.name)->value;
    for (int64_t i = 0; i < left.element_count(); ++i) {
      const float value = left.data<float>()[i];
      EXPECT_TRUE(value == initializer.value.data<float>()[i] || value == 0) << initializer.name;
    }
  }
}

TEST_F(CalibratingJobs, GiveTheSameBitsFromTheCheckpointThatHoldsWhatWasFound) {
  const JobSpec spec = Job(ConvGraph(), WandaOptions());
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  ASSERT_EQ(observer.checkpoint_steps, std::vector<int64_t>{0});
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(0)));
  for (const JobProgress& progress : quiet.progress) EXPECT_NE(progress.phase, "calibrate");
  EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kBlockSparse),
            DigestOf(straight, JobFile::Kind::kBlockSparse));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
}

TEST_F(CalibratingJobs, DrawOtherExamplesByAnotherSeed) {
  WandaOptions few;
  few.examples = 20;  // One batch of 16.
  JobSpec spec = Job(MlpGraph(), few);
  std::vector<std::string> digests;
  for (const uint64_t seed : {0, 0, 1}) {
    spec.task.seed = seed;
    ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
    digests.push_back(DigestOf(outcome, JobFile::Kind::kBlockSparse));
  }
  EXPECT_EQ(digests[0], digests[1]);
  EXPECT_NE(digests[0], digests[2]);
}

TEST_F(CalibratingJobs, KeepTheSupportWhileTheyTrain) {
  JobSpec spec = Job(MlpGraph(), WandaOptions());
  ASSERT_OK_AND_ASSIGN(const JobOutcome untrained, Run(spec));
  spec.task.epochs = 5;
  ASSERT_OK_AND_ASSIGN(const JobOutcome trained, Run(spec));
  ASSERT_OK_AND_ASSIGN(const Graph before, ImportOnnx(Find(untrained, JobFile::Kind::kOnnx)->path));
  ASSERT_OK_AND_ASSIGN(const Graph after, ImportOnnx(Find(trained, JobFile::Kind::kOnnx)->path));
  const absl::Span<const float> a = before.FindInitializer("fc2.weight")->value.span<float>();
  const absl::Span<const float> b = after.FindInitializer("fc2.weight")->value.span<float>();
  int64_t changed = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i] == 0, b[i] == 0);
    changed += a[i] != b[i] ? 1 : 0;
  }
  EXPECT_GT(changed, 30);
}

// The teacher is the network as given, in the first attempt and in later ones.
TEST_F(CalibratingJobs, LearnFromTheNetworkAsGiven) {
  JobSpec spec = Job(MlpGraph(), WandaOptions());
  spec.task.epochs = 5;
  spec.task.distillation = DistillationSpec();
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  for (const int64_t step : {0, 7}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  }
}

TEST_F(CalibratingJobs, ADryRunCalibratesNothing) {
  JobSpec spec = Job(MlpGraph(), WandaOptions());
  spec.dry_run = true;
  RecordingObserver observer;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  for (const JobProgress& progress : observer.progress) EXPECT_NE(progress.phase, "calibrate");
  EXPECT_EQ(ReportOf(outcome)["layers"][0]["blocks_live"], 4);
}

// 128 examples, of which 96 to train with: one batch at the least, whole batches, and never more.
TEST_F(CalibratingJobs, CountTheExamplesThatTheyDraw) {
  RecordingObserver observer;
  const JobReporter reporter(&observer, &clock_);
  const auto bytes = [&](int64_t examples) {
    WandaOptions options;
    options.examples = examples;
    return LoadJob(Job(MlpGraph(), options), reporter)->memory.calibration;
  };
  const int64_t example = (bytes(96) - bytes(32)) / 64;
  EXPECT_GT(example, 0);
  EXPECT_EQ(bytes(1), bytes(16));
  EXPECT_EQ(bytes(1000), bytes(96));
}

// In blocks as tall as a layer, what a removal takes off the inverse is as large as the inverse.
TEST_F(CalibratingJobs, CountWhatTallBlocksCostOnEachThread) {
  const Graph graph = MlpGraph();
  const PrunableLayer layer = FindPrunableLayers(graph).front();
  const auto bytes = [&](int64_t rows, int threads) {
    return CalibrationBytes(GroupObsOptions(), {{layer, {rows, 4}}}, threads);
  };
  const int64_t square = 8 * layer.rows * layer.rows;
  const int64_t weights = 8 * 2 * layer.rows * 4;
  EXPECT_EQ(bytes(layer.rows, 2) - bytes(layer.rows, 1), 4 * square + weights);
  EXPECT_LT(bytes(1, 2) - bytes(1, 1), 2 * square);
  // One column of blocks is for one thread.
  const auto as_wide = [&](int threads) {
    return CalibrationBytes(GroupObsOptions(), {{layer, {1, layer.cols}}}, threads);
  };
  EXPECT_EQ(as_wide(16), as_wide(1));
}

TEST_F(CalibratingJobs, RunOutOfMemoryAlone) {
  const Graph graph = MlpGraph();
  ReferenceBackend backend;
  CalibratedLayer layer;
  layer.partition = std::make_shared<const BlockPartition>(
      BlockPartition::Create(FindPrunableLayers(graph).front(), {4, 4}).value());
  layer.backend = &backend;
  layer.moments = [](int64_t) -> std::vector<double> { throw std::bad_alloc(); };
  std::vector<float> weight(layer.layer().element_count(), 1.0F);
  layer.weight = absl::MakeSpan(weight);
  EXPECT_THAT(PruneLayer(SparseGptOptions(), layer).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(layer.layer().weight)));
}

TEST_F(CalibratingJobs, StopWhenTold) {
  const JobSpec spec = Job(MlpGraph(), WandaOptions());
  class StoppingObserver : public RecordingObserver {
   public:
    void OnProgress(const JobProgress& progress) override {
      calibrates_ = calibrates_ || progress.phase == "calibrate";
    }
    JobControl Control() override {
      return calibrates_ ? JobControl::kStop : JobControl::kContinue;
    }

   private:
    bool calibrates_ = false;
  } observer;
  EXPECT_THAT(Run(spec, &observer).status(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(CalibratingJobs, FailWhereActivationsAreNotFinite) {
  Graph graph = MlpGraph();
  for (float& weight : graph.FindInitializer("fc1.weight")->value.span<float>()) weight *= 1e38F;
  EXPECT_THAT(Run(Job(graph, WandaOptions())).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       testing::AllOf(HasSubstr("fc2.weight"), HasSubstr("not finite"))));
}

TEST_F(CalibratingJobs, RefuseABudgetForWhichLayersCompete) {
  JobSpec spec = Job(MlpGraph(), WandaOptions());
  spec.target->budget = BudgetKind::kGlobal;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("target.budget")));
}

}  // namespace
}  // namespace topiary
