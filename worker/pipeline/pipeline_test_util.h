// Small models, data files and observers for tests of the pipeline.
#ifndef TOPIARY_WORKER_PIPELINE_PIPELINE_TEST_UTIL_H_
#define TOPIARY_WORKER_PIPELINE_PIPELINE_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/graph.h"
#include "worker/model/onnx_export.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/pipeline_runner.h"

namespace topiary {

// An empty folder of its own under the test's temporary folder.
inline std::string NewTestFolder() {
  static int number = 0;
  const std::string path = absl::StrCat(testing::TempDir(), "/pipeline", ++number);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

// The derivative of loss() by `*value`, from both sides of it; `*value` is left as it was.
template <typename Loss>
double CentralDifference(float* value, Loss loss) {
  constexpr float kStep = 1.0F / 128;
  const float kept = *value;
  *value = kept + kStep;
  const double up = loss();
  *value = kept - kStep;
  const double down = loss();
  *value = kept;
  return (up - down) / (2 * kStep);
}

// Builds graphs node by node, with initial weights that depend on names' order alone.
class GraphBuilder {
 public:
  explicit GraphBuilder(std::vector<int64_t> example_shape) {
    ValueInfo input;
    input.name = "x";
    input.has_shape = true;
    input.dims.push_back({-1, "batch"});
    for (const int64_t extent : example_shape) input.dims.push_back({extent, ""});
    graph_.inputs.push_back(input);
    graph_.name = "test";
  }

  // A further input, of one id per example.
  std::string Ids(const std::string& name) {
    ValueInfo input;
    input.name = name;
    input.dtype = DType::kInt64;
    input.has_shape = true;
    input.dims.push_back({-1, "batch"});
    graph_.inputs.push_back(input);
    return name;
  }

  std::string Weight(const std::string& name, const Shape& shape, float scale) {
    Tensor value(DType::kFloat32, shape);
    Random random(17, kStreamTest, graph_.initializers.size());
    for (float& v : value.span<float>()) v = scale * random.Normal();
    graph_.initializers.push_back({name, std::move(value), ""});
    return name;
  }

  std::string Constant(const std::string& name, const Shape& shape, float value) {
    Tensor tensor(DType::kFloat32, shape);
    for (float& v : tensor.span<float>()) v = value;
    graph_.initializers.push_back({name, std::move(tensor), ""});
    return name;
  }

  std::string Integers(const std::string& name, const std::vector<int64_t>& values) {
    Tensor tensor(DType::kInt64, Shape({static_cast<int64_t>(values.size())}));
    std::copy(values.begin(), values.end(), tensor.span<int64_t>().begin());
    graph_.initializers.push_back({name, std::move(tensor), ""});
    return name;
  }

  std::string Add(const std::string& op, std::vector<std::string> inputs,
                  std::vector<Attribute> attributes = {}) {
    Node node;
    node.op_type = op;
    node.name = absl::StrCat("/", op, "_", graph_.nodes.size());
    node.inputs = std::move(inputs);
    node.outputs = {absl::StrCat("v", graph_.nodes.size())};
    node.attributes = std::move(attributes);
    graph_.nodes.push_back(node);
    return graph_.nodes.back().outputs[0];
  }

  // A Linear as PyTorch exports it.
  std::string Linear(const std::string& name, const std::string& src, int64_t in, int64_t out) {
    const float scale = std::sqrt(2.0F / static_cast<float>(in));
    return Add("Gemm",
               {src, Weight(name + ".weight", Shape({out, in}), scale),
                Constant(name + ".bias", Shape({out}), 0)},
               {{"transB", int64_t{1}}});
  }

  Graph Finish(const std::string& output) {
    ValueInfo value;
    value.name = output;
    graph_.outputs.push_back(value);
    return graph_.Clone();
  }

 private:
  Graph graph_;
};

// 8 inputs, 3 classes: Linear 8x32, ReLU, Dropout, Linear 32x24, ReLU, Linear 24x3.
inline Graph MlpGraph() {
  GraphBuilder b({8});
  std::string v = b.Add("Relu", {b.Linear("fc1", "x", 8, 32)});
  v = b.Add("Dropout", {v, b.Constant("ratio", Shape(), 0.2F)});
  v = b.Add("Relu", {b.Linear("fc2", v, 32, 24)});
  return b.Finish(b.Linear("head", v, 24, 3));
}

// 1x6x6 images, 3 classes: Conv 3x3 to 8, BatchNorm, ReLU, Conv 3x3 to 8, BatchNorm, ReLU, mean,
// Linear.
inline Graph ConvGraph() {
  GraphBuilder b({1, 6, 6});
  const std::vector<Attribute> same = {{"pads", std::vector<int64_t>{1, 1, 1, 1}},
                                       {"kernel_shape", std::vector<int64_t>{3, 3}}};
  std::string v = "x";
  int64_t channels = 1;
  for (const std::string name : {"c1", "c2"}) {
    v = b.Add("Conv", {v, b.Weight(name + ".weight", Shape({8, channels, 3, 3}), 0.4F)}, same);
    v = b.Add(
        "BatchNormalization",
        {v, b.Constant(name + ".scale", Shape({8}), 1), b.Constant(name + ".b", Shape({8}), 0),
         b.Constant(name + ".mean", Shape({8}), 0), b.Constant(name + ".var", Shape({8}), 1)});
    v = b.Add("Relu", {v});
    channels = 8;
  }
  v = b.Add("Flatten", {b.Add("GlobalAveragePool", {v})});
  return b.Finish(b.Linear("head", v, 8, 3));
}

// A CSV file of `rows` examples of `features` numbers and a class of 3 that depends on them; with
// `mislabelled` each is said to be of the next class.
inline std::string WriteClassCsv(const std::string& path, int rows, int features, uint64_t seed = 3,
                                 bool mislabelled = false) {
  std::ofstream out(path);
  for (int i = 0; i < features; ++i) out << "f" << i << ",";
  out << "label\n";
  for (int row = 0; row < rows; ++row) {
    Random random(seed, kStreamTest, static_cast<uint64_t>(row));
    const int label = static_cast<int>(random.Below(3));
    for (int i = 0; i < features; ++i) {
      out << random.Normal() + (i % 3 == label ? 1.5F : 0.0F) << ",";
    }
    out << (mislabelled ? (label + 1) % 3 : label) << "\n";
  }
  CHECK(out.good());
  return path;
}

// A job on MlpGraph() or ConvGraph() with 96 training and 32 held-out examples: 6 batches of 16 an
// epoch, 5 epochs, so 30 steps.
inline JobSpec SmallJob(const std::string& folder, const Graph& graph) {
  int features = 1;
  for (size_t i = 1; i < graph.inputs[0].dims.size(); ++i) {
    features *= static_cast<int>(graph.inputs[0].dims[i].extent);
  }
  JobSpec spec;
  spec.model_path = folder + "/in.onnx";
  CHECK_OK(ExportOnnx(graph, spec.model_path));
  CsvSourceSpec train;
  train.path = WriteClassCsv(folder + "/train.csv", 96, features, 3);
  CsvSourceSpec evaluation;
  evaluation.path = WriteClassCsv(folder + "/evaluation.csv", 32, features, 4);
  spec.data.train = train;
  spec.data.evaluation = evaluation;
  spec.task.batch_size = 16;
  spec.task.epochs = 5;
  spec.task.learning_rate.base = 0.05;
  PruningTargetSpec target;
  target.sparsity = 0.75;
  target.block_rows = 4;
  target.block_cols = 4;
  target.min_blocks = 4;
  target.batch_norm_batches = 4;
  spec.target = target;
  return spec;
}

// Notes everything; stops, or hands back, before step `act_at_step` when told so. Checkpoints are
// copied to `checkpoint_folder`, if there is one, as "<step>".
class RecordingObserver : public JobObserver {
 public:
  void OnProgress(const JobProgress& p) override { progress.push_back(p); }
  void OnDeterminismKey(const DeterminismKey& k) override {
    keys.push_back(k);
    checkpoints_before_key = checkpoint_steps.size();
  }
  absl::Status OnCheckpoint(const std::string& path, int64_t step) override {
    checkpoint_steps.push_back(step);
    if (!checkpoint_folder.empty()) {
      std::filesystem::copy_file(path, CheckpointPath(step),
                                 std::filesystem::copy_options::overwrite_existing);
    }
    return checkpoints_to_fail-- > 0 ? absl::UnavailableError("no store") : absl::OkStatus();
  }
  JobControl Control() override {
    const bool acts = controls_seen++ >= act_after && act_after >= 0;
    return acts ? action : JobControl::kContinue;
  }
  std::string CheckpointPath(int64_t step) const {
    return absl::StrCat(checkpoint_folder, "/", step);
  }

  std::vector<JobProgress> progress;
  std::vector<DeterminismKey> keys;
  std::vector<int64_t> checkpoint_steps;
  size_t checkpoints_before_key = 0;
  std::string checkpoint_folder;
  int checkpoints_to_fail = 0;
  int controls_seen = 0;
  int act_after = -1;  // Number of questions answered with kContinue first; -1: always.
  JobControl action = JobControl::kStop;
};

inline absl::StatusOr<std::unique_ptr<Backend>> NewReferenceBackend(int, Precision) {
  return std::make_unique<ReferenceBackend>();
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_PIPELINE_TEST_UTIL_H_
