#include "worker/model/onnx_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/model/onnx_import.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;

constexpr int64_t kBatch = GraphBuilder::kBatch;

std::string TempPath(const std::string& name) { return testing::TempDir() + name; }

// Every kind of attribute, value and element type there is.
Graph RichGraph() {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 3, 4}).Input("ids", {kBatch}, DType::kInt64);
  builder.Weight("w", {2, 3});
  builder.Weight("flag", Tensor::Scalar(true));
  builder.Weight("bytes", Tensor::FromVector<uint8_t>(Shape({3}), {1, 2, 255}));
  builder.Weight("signed", Tensor::FromVector<int8_t>(Shape({2}), {-128, 127}));
  builder.Weight("small", Tensor::FromVector<int32_t>(Shape({1}), {-7}));
  builder.Weight("empty", Shape({0, 4}));
  builder.Node("Any", {"x", "", "w"}, {"a", "", "b"},
               {Int("i", -3), Float("f", 0.5f), String("s", "text"), List("l", {1, 2}),
                Constant("t", Tensor::Scalar<double>(1.5)), List("none", {}),
                Attribute{"fs", std::vector<float>{1, 2}},
                Attribute{"ss", std::vector<std::string>{"p", "q"}}},
               "rich");
  Graph graph = builder.Output("a").Output("b").Build();
  graph.name = "net";
  graph.doc = "graph doc";
  graph.model_doc = "model doc";
  graph.model_domain = "example.org";
  graph.model_version = 3;
  graph.producer_name = "maker";
  graph.producer_version = "1.2";
  graph.metadata = {{"b", "2"}, {"a", "1"}};
  graph.nodes[0].doc = "node doc";
  graph.value_infos.push_back(graph.inputs[0]);
  graph.value_infos[0].name = "b";
  graph.value_infos[0].dims[0].symbol = "";
  return graph;
}

TEST(OnnxExport, WhatIsReadBackSerializesToTheSameBytes) {
  const std::string path = TempPath("rich.onnx");
  const Graph graph = RichGraph();
  ASSERT_OK(ExportOnnx(graph, path));
  ASSERT_OK_AND_ASSIGN(const Graph read, ImportOnnx(path));
  EXPECT_THAT(SerializeOnnx(read), IsOkAndHolds(SerializeOnnx(graph).value()));
  EXPECT_EQ(OnnxBytes(graph), std::filesystem::file_size(path));
  EXPECT_THAT(read.nodes[0].inputs, ElementsAre("x", "", "w"));
  EXPECT_THAT(read.metadata, ElementsAre(testing::Pair("b", "2"), testing::Pair("a", "1")));
  EXPECT_EQ(read.value_infos[0].name, "b");
  EXPECT_TRUE(read.value_infos[0].dims[0].symbol.empty());
  EXPECT_EQ(read.FindInitializer("empty")->value.shape(), Shape({0, 4}));
  EXPECT_EQ(std::get<std::shared_ptr<const Tensor>>(read.nodes[0].FindAttribute("t")->value)
                ->data<double>()[0],
            1.5);
}

TEST(OnnxExport, TheSameGraphGivesTheSameBytes) {
  ASSERT_OK(ExportOnnx(RichGraph(), TempPath("one.onnx")));
  ASSERT_OK(ExportOnnx(RichGraph(), TempPath("two.onnx")));
  ASSERT_OK_AND_ASSIGN(const std::string one, ReadFile(TempPath("one.onnx")));
  EXPECT_THAT(ReadFile(TempPath("two.onnx")), IsOkAndHolds(one));
}

TEST(OnnxExport, AReplacedWeightIsAllThatChanges) {
  Graph graph = RichGraph();
  const std::string before = SerializeOnnx(graph).value();
  ASSERT_OK(graph.ReplaceInitializer("w", Tensor(DType::kFloat32, Shape({2, 3}))));
  const std::string after = SerializeOnnx(graph).value();
  ASSERT_EQ(before.size(), after.size());
  int differing = 0;
  for (size_t i = 0; i < before.size(); ++i) differing += before[i] != after[i];
  EXPECT_GT(differing, 0);
  EXPECT_LE(differing, 24);
}

TEST(OnnxExport, AMalformedGraphIsNotWritten) {
  Graph graph = RichGraph();
  graph.outputs[0].name = "nothing";
  const std::string path = TempPath("malformed.onnx");
  EXPECT_THAT(ExportOnnx(graph, path), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadFile(path), StatusIs(absl::StatusCode::kNotFound));
}

TEST(OnnxExport, AFolderThatIsNotThereIsAnError) {
  EXPECT_THAT(ExportOnnx(RichGraph(), TempPath("no/such/folder/m.onnx")), Not(IsOk()));
}

}  // namespace
}  // namespace topiary
