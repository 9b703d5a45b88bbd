#include "worker/runtime/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/export/block_sparse_file.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/testing/graph_builder.h"
#include "worker/runtime/topiary_runtime.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kInputs = 40;
constexpr int64_t kClasses = 5;

// An empty folder of its own.
std::string NewFolder() {
  static int number = 0;
  std::string path = absl::StrCat(testing::TempDir(), "/runtime", ++number);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

Tensor RandomTensor(const Shape& shape, uint64_t stream) {
  Tensor tensor(DType::kFloat32, shape);
  Random random(5, kStreamTest, stream);
  for (float& x : tensor.span<float>()) x = 0.3F * random.Normal();
  return tensor;
}

// A Gemm of a transposed weight [72, 40], a MatMul [72, 48] and a Gemm [5, 48].
Graph ThreeLayers() {
  return GraphBuilder()
      .Input("x", {GraphBuilder::kBatch, kInputs})
      .Weight("first", RandomTensor(Shape({72, kInputs}), 1))
      .Weight("bias", RandomTensor(Shape({72}), 2))
      .Weight("second", RandomTensor(Shape({72, 48}), 3))
      .Weight("head", RandomTensor(Shape({kClasses, 48}), 4))
      .Node("Gemm", {"x", "first", "bias"}, {"a"}, {Int("transB", 1)})
      .Node("Relu", {"a"}, {"b"})
      .Node("MatMul", {"b", "second"}, {"c"})
      .Node("Relu", {"c"}, {"d"})
      .Node("Gemm", {"d", "head"}, {"y"}, {Int("transB", 1)})
      .Output("y")
      .Build();
}

// Keeps every fourth block of 8 x 16.
PrunedWeight Prune(const std::string& weight, Graph* graph) {
  PrunedWeight pruned;
  for (const PrunableLayer& layer : FindPrunableLayers(*graph)) {
    if (layer.weight != weight) continue;
    pruned.partition =
        std::make_shared<const BlockPartition>(BlockPartition::Create(layer, {8, 16}).value());
  }
  for (int64_t i = 0; i < pruned.partition->block_count(); ++i) {
    pruned.support.push_back(i % 4 == 1 ? 1 : 0);
  }
  pruned.partition->ZeroPruned(pruned.support, graph->FindInitializer(weight)->value.span<float>());
  return pruned;
}

std::vector<float> Examples(int64_t batch) {
  Random random(5, kStreamTest, 0);
  std::vector<float> examples(batch * kInputs);
  for (float& x : examples) x = random.Normal();
  return examples;
}

std::vector<float> ExpectedOutput(const Graph& graph, int64_t batch) {
  ReferenceBackend backend;
  const auto store = ParameterStore::Create(graph, &backend).value();
  ProgramOptions options;
  options.batch = batch;
  options.mode = ProgramMode::kInference;
  const auto program = Program::Build(graph, store.get(), &backend, options).value();
  const std::vector<float> examples = Examples(batch);
  std::copy(examples.begin(), examples.end(), static_cast<float*>(program->inputs()[0].data));
  program->Forward();
  const auto* output = static_cast<const float*>(program->output(0).data);
  return std::vector<float>(output, output + batch * kClasses);
}

class PrunedModel : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    const std::vector<PrunedWeight> pruned = {Prune("first", &graph_), Prune("second", &graph_)};
    ASSERT_OK(WriteBlockSparseFile(graph_, pruned, folder_ + "/model.safetensors"));
    ASSERT_OK(ExportOnnx(graph_, folder_ + "/model.onnx"));
  }

  void ExpectRight(const Model& model) const {
    const std::vector<float> expected = ExpectedOutput(graph_, GetParam());
    const auto* output = static_cast<const float*>(model.outputs()[0].data);
    ASSERT_EQ(model.outputs()[0].bytes, expected.size() * sizeof(float));
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(output[i], expected[i], 1e-4) << i;
  }

  Graph graph_ = ThreeLayers();
  const std::string folder_ = NewFolder();
};

TEST_P(PrunedModel, GivesTheOutputsOfTheDenseOneFromEitherFile) {
  for (const char* name : {"model.safetensors", "model.onnx"}) {
    for (const bool dense : {false, true}) {
      ModelOptions options;
      options.batch = GetParam();
      options.threads = 2;
      options.kernels = dense ? ModelOptions::Kernels::kDense : ModelOptions::Kernels::kBlockSparse;
      ASSERT_OK_AND_ASSIGN(const auto model,
                           Model::Load(absl::StrCat(folder_, "/", name), options));
      ASSERT_EQ(model->inputs().size(), 1u);
      EXPECT_EQ(model->inputs()[0].name, "x");
      EXPECT_THAT(model->inputs()[0].shape, ElementsAre(GetParam(), kInputs));
      EXPECT_THAT(model->outputs()[0].shape, ElementsAre(GetParam(), kClasses));
      const std::vector<float> examples = Examples(GetParam());
      std::copy(examples.begin(), examples.end(), static_cast<float*>(model->inputs()[0].data));
      model->Run();
      ExpectRight(*model);
      model->Run();  // Packed weights and inputs are still there.
      ExpectRight(*model);
    }
  }
}

TEST_P(PrunedModel, LeavesOutPrunedBlocksOfTheBlockCompressedFile) {
  ModelOptions options;
  options.batch = GetParam();
  options.kernels = ModelOptions::Kernels::kBlockSparse;
  ASSERT_OK_AND_ASSIGN(auto model, Model::Load(folder_ + "/model.safetensors", options));
  EXPECT_THAT(model->sparse_weights(), ElementsAre("first", "second"));
  options.kernels = ModelOptions::Kernels::kDense;
  ASSERT_OK_AND_ASSIGN(model, Model::Load(folder_ + "/model.safetensors", options));
  EXPECT_THAT(model->sparse_weights(), IsEmpty());
}

// Whatever is faster here, the second load finds what the first has measured.
TEST_P(PrunedModel, ChoosesTheSameKernelsFromWhatWasMeasuredBefore) {
  ModelOptions options;
  options.batch = GetParam();
  options.threads = 2;
  options.layer_costs_folder = NewFolder();
  std::vector<float> outputs[2];
  std::vector<std::string> sparse_weights[2];
  std::vector<std::string> tables[2];
  for (int load = 0; load < 2; ++load) {
    ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(folder_ + "/model.safetensors", options));
    const std::vector<float> examples = Examples(GetParam());
    std::copy(examples.begin(), examples.end(), static_cast<float*>(model->inputs()[0].data));
    model->Run();
    ExpectRight(*model);
    const auto* output = static_cast<const float*>(model->outputs()[0].data);
    outputs[load].assign(output, output + GetParam() * kClasses);
    sparse_weights[load] = model->sparse_weights();
    for (const auto& file : std::filesystem::directory_iterator(options.layer_costs_folder)) {
      if (file.path().extension() != ".json") continue;
      ASSERT_OK_AND_ASSIGN(const std::string table, ReadFile(file.path().string()));
      tables[load].push_back(table);
    }
  }
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(sparse_weights[0], sparse_weights[1]);
  EXPECT_THAT(tables[0], SizeIs(1));
  EXPECT_EQ(tables[0], tables[1]);
}

TEST_P(PrunedModel, IsTheSameThroughTheCInterface) {
  char error[200] = "untouched";
  topiary_model* model = topiary_load((folder_ + "/model.safetensors").c_str(), GetParam(), 1,
                                      TOPIARY_BLOCK_SPARSE_KERNELS, nullptr, error, sizeof(error));
  ASSERT_NE(model, nullptr) << error;
  ASSERT_EQ(topiary_input_count(model), 1u);
  ASSERT_EQ(topiary_output_count(model), 1u);
  EXPECT_EQ(topiary_input(model, 1), nullptr);
  EXPECT_EQ(topiary_sparse_weight_count(model), 2u);
  const topiary_tensor* input = topiary_input(model, 0);
  EXPECT_STREQ(input->name, "x");
  EXPECT_EQ(input->type, TOPIARY_FLOAT32);
  ASSERT_EQ(input->rank, 2u);
  EXPECT_EQ(input->shape[1], kInputs);
  const std::vector<float> examples = Examples(GetParam());
  ASSERT_EQ(input->bytes, examples.size() * sizeof(float));
  std::copy(examples.begin(), examples.end(), static_cast<float*>(input->data));
  ASSERT_EQ(topiary_run(model), 0);
  const std::vector<float> expected = ExpectedOutput(graph_, GetParam());
  const auto* output = static_cast<const float*>(topiary_output(model, 0)->data);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(output[i], expected[i], 1e-4) << i;
  topiary_free(model);
}

INSTANTIATE_TEST_SUITE_P(Batches, PrunedModel, testing::Values(1, 7, 64));

struct NoModel {
  const char* name;
  const char* path;
  const char* contents;  // Null: there is no file.
  ModelOptions options;
  const char* complaint;
};

class NoModels : public testing::TestWithParam<NoModel> {};

TEST_P(NoModels, AreRefusedWithTheReason) {
  const std::string path = absl::StrCat(NewFolder(), "/", GetParam().path);
  if (GetParam().contents != nullptr) {
    ASSERT_OK(WriteFileAtomically(path, GetParam().contents));
  }
  const absl::Status status = Model::Load(path, GetParam().options).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().complaint));
  char error[12];
  EXPECT_EQ(topiary_load(path.c_str(), GetParam().options.batch, GetParam().options.threads,
                         TOPIARY_MEASURED_KERNELS, nullptr, error, sizeof(error)),
            nullptr);
  EXPECT_EQ(std::string(error), std::string(status.message()).substr(0, sizeof(error) - 1));
  EXPECT_EQ(topiary_load(path.c_str(), GetParam().options.batch, GetParam().options.threads,
                         TOPIARY_MEASURED_KERNELS, nullptr, nullptr, 0),
            nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    Runtime, NoModels,
    testing::Values(NoModel{"Missing", "none.onnx", nullptr, {}, "none.onnx"},
                    NoModel{"NoOnnx", "m.onnx", "what is this?", {}, "m.onnx"},
                    NoModel{"NoSafetensors", "m.safetensors", "what is this?", {}, "safetensors"},
                    NoModel{"NoBatch", "m.onnx", "", {0, 1}, "no batch of 0"},
                    NoModel{"NegativeThreads", "m.onnx", "", {1, -1}, "-1 threads"}),
    [](const testing::TestParamInfo<NoModel>& info) { return info.param.name; });

// A file may hold a convolution of no channels; nothing divides by them.
TEST(RuntimeModel, AConvolutionWithoutChannelsHasNoResult) {
  const std::string path = NewFolder() + "/empty.onnx";
  const Graph graph = GraphBuilder()
                          .Input("x", {GraphBuilder::kBatch, 1, 4, 4})
                          .Weight("w", Shape({0, 1, 1, 1}))
                          .Weight("s", Shape({0}))
                          .Weight("m", Shape({0}))
                          .Node("Conv", {"x", "w"}, {"c"})
                          .Node("BatchNormalization", {"c", "s", "s", "m", "m"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK(ExportOnnx(graph, path));
  ModelOptions options;
  options.batch = 2;
  ASSERT_OK_AND_ASSIGN(const auto model, Model::Load(path, options));
  model->Run();
  EXPECT_THAT(model->outputs()[0].shape, ElementsAre(2, 0, 4, 4));
}

}  // namespace
}  // namespace topiary
