#include "worker/export/block_sparse_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/safetensors.h"

namespace topiary {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Tensor RandomTensor(const Shape& shape, uint64_t seed) {
  Tensor tensor(DType::kFloat32, shape);
  Random random(seed, kStreamTest, 0);
  for (float& value : tensor.span<float>()) value = random.Normal();
  return tensor;
}

Node MakeNode(const std::string& op, const std::vector<std::string>& inputs,
              const std::string& output, std::vector<Attribute> attributes = {}) {
  Node node;
  node.name = op + "_" + output;
  node.op_type = op;
  node.inputs = inputs;
  node.outputs = {output};
  node.attributes = std::move(attributes);
  return node;
}

// A graph of one weight "w" of `shape` under operator `op`, a bias, and a shape.
Graph OneLayer(const std::string& op, const Shape& shape, std::vector<Attribute> attributes = {}) {
  Graph graph;
  graph.nodes.push_back(MakeNode(op, {"x", "w"}, "y", std::move(attributes)));
  graph.initializers.push_back({"w", RandomTensor(shape, 1), ""});
  graph.initializers.push_back({"b", RandomTensor(Shape({5}), 2), "what it is"});
  graph.initializers.push_back({"s", Tensor::FromVector<int64_t>(Shape({2}), {0, -1}), ""});
  graph.inputs.emplace_back().name = "x";
  graph.outputs.emplace_back().name = "y";
  return graph;
}

// Prunes every block whose number is not a multiple of `keep_every`.
PrunedWeight Prune(Graph* graph, const BlockShape& block, int keep_every) {
  const PrunableLayer layer = FindPrunableLayers(*graph).at(0);
  PrunedWeight pruned;
  pruned.partition =
      std::make_shared<const BlockPartition>(BlockPartition::Create(layer, block).value());
  for (int64_t i = 0; i < pruned.partition->block_count(); ++i) {
    pruned.support.push_back(i % keep_every == 0 ? 1 : 0);
  }
  pruned.partition->ZeroPruned(pruned.support,
                               graph->FindInitializer(layer.weight)->value.span<float>());
  return pruned;
}

std::string TestPath() {
  std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  for (char& c : name) c = c == '/' ? '_' : c;
  return testing::TempDir() + "/" + name + ".safetensors";
}

struct Case {
  std::string name;
  std::string op;
  Shape shape;
  std::vector<Attribute> attributes;
  BlockShape block;
};

Attribute Int(const char* name, int64_t value) { return {name, value}; }

class BlockSparseFileOf : public testing::TestWithParam<Case> {};

TEST_P(BlockSparseFileOf, RestoresTheModelBitForBit) {
  const Case& c = GetParam();
  Graph graph = OneLayer(c.op, c.shape, c.attributes);
  const PrunedWeight pruned = Prune(&graph, c.block, 3);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  ASSERT_OK_AND_ASSIGN(const BlockSparseModel model, ReadBlockSparseFile(TestPath()));
  EXPECT_EQ(SerializeOnnx(model.graph).value(), SerializeOnnx(graph).value());
  EXPECT_THAT(model.layouts, testing::ElementsAre(testing::Key("w")));
}

// What torch.sparse_bsr_tensor would compute from the file is the matrix of the weight.
TEST_P(BlockSparseFileOf, HoldsTheMatrixThatPyTorchWouldRead) {
  const Case& c = GetParam();
  Graph graph = OneLayer(c.op, c.shape, c.attributes);
  const PrunedWeight pruned = Prune(&graph, c.block, 3);
  ASSERT_OK_AND_ASSIGN(
      const BlockSparseMatrix matrix,
      EncodeBlocks(*pruned.partition, pruned.support, graph.FindInitializer("w")->value));
  const BlockSparseLayout& layout = matrix.layout;
  const Shape padded = layout.padded_shape();
  std::vector<float> dense(padded.element_count(), 0.0F);
  const auto crow = matrix.crow_indices.span<int32_t>();
  const int64_t block_size = layout.block_rows * layout.block_cols;
  for (size_t row = 0; row + 1 < crow.size(); ++row) {
    for (int32_t i = crow[row]; i < crow[row + 1]; ++i) {
      const int64_t col = matrix.col_indices.data<int32_t>()[i];
      for (int64_t e = 0; e < block_size; ++e) {
        const int64_t r = static_cast<int64_t>(row) * layout.block_rows + e / layout.block_cols;
        const int64_t k = col * layout.block_cols + e % layout.block_cols;
        dense[r * padded[1] + k] = matrix.values.data<float>()[i * block_size + e];
      }
    }
  }
  const PrunableLayer& layer = pruned.partition->layer();
  const float* weight = graph.FindInitializer("w")->value.data<float>();
  const int64_t padded_group_rows = padded[0] / layer.groups;
  for (int64_t g = 0; g < layer.groups; ++g) {
    for (int64_t row = 0; row < layer.rows; ++row) {
      for (int64_t col = 0; col < layer.cols; ++col) {
        const int64_t r = layer.transposed ? col : row;
        const int64_t k = layer.transposed ? row : col;
        ASSERT_EQ(dense[(g * padded_group_rows + r) * padded[1] + k],
                  weight[layer.Offset(g, row, col)]);
      }
    }
  }
}

TEST_P(BlockSparseFileOf, HasTheSizeForetold) {
  const Case& c = GetParam();
  for (const int keep_every : {1, 3, 1000}) {
    Graph graph = OneLayer(c.op, c.shape, c.attributes);
    const PrunedWeight pruned = Prune(&graph, c.block, keep_every);
    ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
    ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(TestPath()));
    const KeptBlockCount kept = {pruned.partition, LiveBlocks(pruned.support)};
    EXPECT_THAT(BlockSparseFileBytes(graph, {kept}), IsOkAndHolds(bytes.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layers, BlockSparseFileOf,
    testing::Values(Case{"linear", "Gemm", Shape({12, 20}), {Int("transB", 1)}, {4, 4}},
                    Case{"linear_ragged", "Gemm", Shape({11, 21}), {Int("transB", 1)}, {4, 3}},
                    Case{"gemm_as_stored", "Gemm", Shape({20, 12}), {}, {4, 3}},
                    Case{"matmul_ragged", "MatMul", Shape({10, 7}), {}, {4, 4}},
                    Case{"matmul_stack", "MatMul", Shape({3, 10, 7}), {}, {4, 4}},
                    Case{"conv", "Conv", Shape({8, 4, 3, 3}), {}, {6, 4}},
                    Case{"conv_1d", "Conv", Shape({8, 4, 5}), {}, {4, 4}},
                    Case{"grouped_conv", "Conv", Shape({6, 2, 3, 3}), {Int("group", 2)}, {4, 2}},
                    Case{"depthwise", "Conv", Shape({8, 1, 3, 3}), {Int("group", 8)}, {16, 16}},
                    Case{"rows_1x8", "Gemm", Shape({12, 20}), {Int("transB", 1)}, {1, 8}}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(BlockSparseFile, SaysShapesInTheOrientationOfEachWeight) {
  Graph graph = OneLayer("Conv", Shape({8, 4, 3, 3}));
  const PrunedWeight pruned = Prune(&graph, {16, 3}, 2);
  const BlockSparseLayout layout = LayoutOf(*pruned.partition);
  EXPECT_THAT(layout.permutation, testing::ElementsAre(0, 2, 3, 1));
  EXPECT_EQ(layout.shape(), Shape({8, 36}));
  EXPECT_EQ(layout.padded_shape(), Shape({9, 48}));  // 3 blocks of 3 rows, 3 of 16 columns.
  EXPECT_EQ(layout.block_rows, 3);
  EXPECT_EQ(layout.block_cols, 16);
}

TEST(BlockSparseFile, IsSmallerThanTheDenseWeights) {
  Graph graph = OneLayer("Gemm", Shape({256, 256}), {Int("transB", 1)});
  const PrunedWeight pruned = Prune(&graph, {16, 16}, 10);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(TestPath()));
  EXPECT_LT(bytes.size(), 256 * 256 * sizeof(float) / 8);
}

TEST(BlockSparseFile, SameContentsGiveTheSameBytes) {
  Graph graph = OneLayer("Gemm", Shape({32, 48}), {Int("transB", 1)});
  const PrunedWeight pruned = Prune(&graph, {8, 8}, 2);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath() + "2"));
  EXPECT_EQ(ReadFile(TestPath()).value(), ReadFile(TestPath() + "2").value());
}

TEST(BlockSparseFile, KeepsTheBitsOfNegativeZeroAndOfSubnormals) {
  Graph graph = OneLayer("Gemm", Shape({8, 8}), {Int("transB", 1)});
  float* w = graph.FindInitializer("w")->value.data<float>();
  w[0] = -0.0F;
  w[1] = 1e-41F;
  const PrunedWeight pruned = Prune(&graph, {4, 4}, 1);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  ASSERT_OK_AND_ASSIGN(const BlockSparseModel model, ReadBlockSparseFile(TestPath()));
  EXPECT_TRUE(
      BitwiseEqual(model.graph.FindInitializer("w")->value, graph.FindInitializer("w")->value));
}

TEST(BlockSparseFile, RefusesToLoseAPrunedBlockThatIsNotZero) {
  Graph graph = OneLayer("Gemm", Shape({8, 8}), {Int("transB", 1)});
  PrunedWeight pruned = Prune(&graph, {4, 4}, 1);
  pruned.support[2] = 0;
  EXPECT_THAT(WriteBlockSparseFile(graph, {pruned}, TestPath()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("block 2")));
}

TEST(BlockSparseFile, RefusesAModelWithANameOfItsOwn) {
  Graph graph = OneLayer("Gemm", Shape({8, 8}), {Int("transB", 1)});
  graph.initializers.push_back({"w.values", RandomTensor(Shape({2}), 3), ""});
  const PrunedWeight pruned = Prune(&graph, {4, 4}, 1);
  EXPECT_THAT(WriteBlockSparseFile(graph, {pruned}, TestPath()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("w.values")));
}

// ---- Damaged files
// -------------------------------------------------------------------------------

struct Damage {
  std::string name;
  std::function<void(SafetensorsFile*)> change;
  absl::StatusCode code;
  std::string message;
};

Tensor* FindTensor(SafetensorsFile* file, const std::string& name) {
  for (auto& [key, tensor] : file->tensors) {
    if (key == name) return &tensor;
  }
  return nullptr;
}

void ReplaceInManifest(SafetensorsFile* file, const std::string& from, const std::string& to) {
  std::string& manifest = file->metadata["topiary.manifest"];
  const size_t at = manifest.find(from);
  ASSERT_NE(at, std::string::npos) << manifest;
  manifest.replace(at, from.size(), to);
}

class DamagedBlockSparseFile : public testing::TestWithParam<Damage> {};

TEST_P(DamagedBlockSparseFile, IsAnErrorThatSaysWhat) {
  Graph graph = OneLayer("Gemm", Shape({10, 12}), {Int("transB", 1)});
  const PrunedWeight pruned = Prune(&graph, {4, 4}, 2);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  ASSERT_OK_AND_ASSIGN(SafetensorsFile file, ReadSafetensors(TestPath()));
  GetParam().change(&file);
  ASSERT_OK(WriteSafetensors(file, TestPath()));
  EXPECT_THAT(ReadBlockSparseFile(TestPath()).status(),
              StatusIs(GetParam().code, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DamagedBlockSparseFile,
    testing::Values(
        Damage{"ChangedValue",
               [](SafetensorsFile* f) { FindTensor(f, "w.values")->data<float>()[0] += 1; },
               absl::StatusCode::kDataLoss, "'w'"},
        Damage{"ColumnOutOfRange",
               [](SafetensorsFile* f) { FindTensor(f, "w.col_indices")->data<int32_t>()[0] = 99; },
               absl::StatusCode::kInvalidArgument, "col_indices[0] = 99"},
        Damage{"NegativeColumn",
               [](SafetensorsFile* f) { FindTensor(f, "w.col_indices")->data<int32_t>()[0] = -1; },
               absl::StatusCode::kInvalidArgument, "col_indices[0] = -1"},
        Damage{"RowPointersFall",
               [](SafetensorsFile* f) { FindTensor(f, "w.crow_indices")->data<int32_t>()[1] = -7; },
               absl::StatusCode::kInvalidArgument, "crow_indices"},
        Damage{
            "RowPointersEndElsewhere",
            [](SafetensorsFile* f) { FindTensor(f, "w.crow_indices")->data<int32_t>()[3] = 400; },
            absl::StatusCode::kInvalidArgument, "crow_indices"},
        Damage{"PaddingNotZero",
               [](SafetensorsFile* f) {
                 Tensor* values = FindTensor(f, "w.values");
                 values->data<float>()[values->element_count() - 1] = 3;
               },
               absl::StatusCode::kInvalidArgument, "padding"},
        Damage{"GraphMissing", [](SafetensorsFile* f) { f->tensors.erase(f->tensors.begin()); },
               absl::StatusCode::kInvalidArgument, "'topiary.graph' is missing"},
        Damage{"GraphNoOnnx",
               [](SafetensorsFile* f) { FindTensor(f, "topiary.graph")->data<uint8_t>()[0] = 255; },
               absl::StatusCode::kInvalidArgument, "its graph"},
        Damage{"ValuesMissing",
               [](SafetensorsFile* f) { f->tensors.erase(f->tensors.begin() + 1); },
               absl::StatusCode::kInvalidArgument, "'w.values' is missing"},
        Damage{"WeightNotInTheManifest",
               [](SafetensorsFile* f) {
                 const Json manifest = Json::parse(f->metadata["topiary.manifest"]);
                 f->metadata["topiary.manifest"] =
                     Json({{"layers", manifest["layers"]}, {"tensors", Json::array()}}).dump();
               },
               absl::StatusCode::kInvalidArgument, "'b' of the graph is not in the manifest"},
        Damage{"WeightNotInTheGraph",
               [](SafetensorsFile* f) {
                 Json manifest = Json::parse(f->metadata["topiary.manifest"]);
                 manifest["tensors"].push_back(manifest["tensors"][0]);
                 manifest["tensors"][1]["name"] = "stray";
                 f->metadata["topiary.manifest"] = manifest.dump();
                 f->tensors.emplace_back("stray", FindTensor(f, "b")->Clone());
               },
               absl::StatusCode::kInvalidArgument, "'stray'"},
        Damage{"TensorTooMany",
               [](SafetensorsFile* f) {
                 f->tensors.emplace_back("stray", Tensor(DType::kFloat32, Shape({1})));
               },
               absl::StatusCode::kInvalidArgument, "'stray'"},
        Damage{"ManifestNoJson",
               [](SafetensorsFile* f) { f->metadata["topiary.manifest"] = "{\"layers\": ["; },
               absl::StatusCode::kInvalidArgument, "manifest"},
        Damage{"ManifestEntryNoObject",
               [](SafetensorsFile* f) {
                 f->metadata["topiary.manifest"] = "{\"layers\": [7], \"tensors\": []}";
               },
               absl::StatusCode::kInvalidArgument, "name"},
        Damage{"HugeDenseShape",
               [](SafetensorsFile* f) {
                 ReplaceInManifest(f, "\"dense_shape\":[10,12]",
                                   "\"dense_shape\":[9223372036854775807,12]");
               },
               absl::StatusCode::kInvalidArgument, ""},
        Damage{"ShapeThatDoesNotFit",
               [](SafetensorsFile* f) {
                 ReplaceInManifest(f, "\"shape\":[10,12]", "\"shape\":[10,13]");
               },
               absl::StatusCode::kInvalidArgument, "has not the elements"},
        Damage{
            "BlockOfZero",
            [](SafetensorsFile* f) { ReplaceInManifest(f, "\"block\":[4,4]", "\"block\":[0,4]"); },
            absl::StatusCode::kInvalidArgument, "out of range"},
        Damage{"PermutationTwice",
               [](SafetensorsFile* f) {
                 ReplaceInManifest(f, "\"permutation\":[0,1]", "\"permutation\":[1,1]");
               },
               absl::StatusCode::kInvalidArgument, "permutation"},
        Damage{"NewerVersion", [](SafetensorsFile* f) { f->metadata["format_version"] = "2"; },
               absl::StatusCode::kUnimplemented, "format_version"},
        Damage{"AnotherFormat", [](SafetensorsFile* f) { f->metadata["format"] = "pt"; },
               absl::StatusCode::kInvalidArgument, "topiary-block-sparse"}),
    [](const testing::TestParamInfo<Damage>& info) { return info.param.name; });

TEST(BlockSparseFile, ReadingStopsAtTheLimitOfDenseBytes) {
  Graph graph = OneLayer("Gemm", Shape({64, 64}), {Int("transB", 1)});
  const PrunedWeight pruned = Prune(&graph, {8, 8}, 8);
  ASSERT_OK(WriteBlockSparseFile(graph, {pruned}, TestPath()));
  EXPECT_THAT(ReadBlockSparseFile(TestPath(), 1000).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000 bytes")));
}

}  // namespace
}  // namespace topiary
