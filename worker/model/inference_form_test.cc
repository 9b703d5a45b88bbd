#include "worker/model/inference_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/model/graph_check.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBatch = GraphBuilder::kBatch;

// A BatchNormalization and a Dropout as an exporter writes them for training.
GraphBuilder TrainingGraph() {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 3}).Weight("s", {3}).Weight("m", {3});
  builder.Weight("mode", Tensor::Scalar(true)).Weight("ratio", Shape());
  builder.Node("BatchNormalization", {"x", "s", "s", "m", "m"}, {"n", "rm", "rv"},
               {Int("training_mode", 1), Float("epsilon", 0.1f)}, "bn");
  builder.Node("Identity", {"mode"}, {"mode2"});
  builder.Node("Dropout", {"n", "ratio", "mode2"}, {"y", "mask"}, {}, "drop");
  return builder;
}

TEST(InferenceForm, TakesTrainingAwayAndNothingElse) {
  Graph graph = TrainingGraph().Output("y").Build();
  graph.value_infos = {graph.outputs[0], graph.outputs[0]};
  graph.value_infos[0].name = "rm";
  graph.value_infos[1].name = "n";
  ASSERT_OK_AND_ASSIGN(const Graph form, InferenceForm(graph));
  ASSERT_EQ(form.nodes.size(), 2u);  // The Identity only made the mode.
  EXPECT_EQ(form.nodes[0].name, "bn");
  EXPECT_THAT(form.nodes[0].outputs, ElementsAre("n"));
  EXPECT_EQ(form.nodes[0].FindAttribute("training_mode"), nullptr);
  EXPECT_NE(form.nodes[0].FindAttribute("epsilon"), nullptr);
  EXPECT_THAT(form.nodes[1].inputs, ElementsAre("n", "ratio"));
  EXPECT_THAT(form.nodes[1].outputs, ElementsAre("y"));
  EXPECT_EQ(form.FindInitializer("mode"), nullptr);
  EXPECT_NE(form.FindInitializer("ratio"), nullptr);
  ASSERT_EQ(form.value_infos.size(), 1u);
  EXPECT_EQ(form.value_infos[0].name, "n");
  EXPECT_OK(CheckGraph(form));
}

TEST(InferenceForm, WhatOthersReadStays) {
  Graph graph = TrainingGraph().Output("y").Output("mode2", DType::kBool).Build();
  ASSERT_OK_AND_ASSIGN(const Graph form, InferenceForm(graph));
  EXPECT_EQ(form.nodes.size(), 3u);
  EXPECT_NE(form.FindInitializer("mode"), nullptr);
}

TEST(InferenceForm, IsItsOwnInferenceForm) {
  ASSERT_OK_AND_ASSIGN(const Graph once, InferenceForm(TrainingGraph().Output("y").Build()));
  ASSERT_OK_AND_ASSIGN(const Graph twice, InferenceForm(once));
  EXPECT_EQ(twice.nodes.size(), once.nodes.size());
  EXPECT_EQ(twice.initializers.size(), once.initializers.size());
}

TEST(InferenceForm, AnOutputThatExistsOnlyInTrainingCannotBeKept) {
  EXPECT_THAT(InferenceForm(TrainingGraph().Output("y").Output("rv").Build()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("BatchNormalization node 'bn'"), HasSubstr("'rv'"))));
  EXPECT_THAT(InferenceForm(TrainingGraph().Output("mask", DType::kBool).Build()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Dropout node 'drop'")));
}

}  // namespace
}  // namespace topiary
