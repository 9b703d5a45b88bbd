#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>

#include "common/random.h"
#include "worker/export/shrink.h"
#include "worker/export/testing/shrink_checks.h"
#include "worker/export/testing/transformer.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using Form = TransformerForm;

// Extents of the weights of one block along the axes of its heads.
struct Widths {
  int64_t query, key, value, output;
  bool operator==(const Widths& other) const {
    return query == other.query && key == other.key && value == other.value &&
           output == other.output;
  }
};

std::ostream& operator<<(std::ostream& out, const Widths& w) {
  return out << w.query << ", " << w.key << ", " << w.value << ", " << w.output;
}

Widths WidthsOf(const ShrunkModel& model, const Form& form, const std::string& block) {
  const auto along = [&](const std::string& name, int axis) {
    return ShapeOf(model, block + name + ".w")[axis];
  };
  return {along(".q", OutAxis(form)), along(".k", OutAxis(form)), along(".v", OutAxis(form)),
          along(".o", InAxis(form))};
}

bool ReadsExtents(const Graph& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                     [](const Node& node) { return node.op_type == "Shape"; });
}

void AddOutput(const std::string& name, Graph* graph) {
  ValueInfo output;
  output.name = name;
  graph->outputs.push_back(output);
}

class ShrinkHeads : public testing::TestWithParam<std::tuple<Form::Linear, Form::Extents>> {
 protected:
  static Form FormOf(const std::tuple<Form::Linear, Form::Extents>& param) {
    Form form;
    std::tie(form.linear, form.extents) = param;
    return form;
  }
};

TEST_P(ShrinkHeads, AHeadGoesThatNothingReads) {
  const Form form = FormOf(GetParam());
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(WidthsOf(model, form, "b0"), (Widths{8, 8, 8, 8}));
  EXPECT_EQ(WidthsOf(model, form, "b1"), (Widths{12, 12, 12, 12}));
  EXPECT_EQ(ShapeOf(model, "b0.q.b"), Shape({8}));
  EXPECT_EQ(ShapeOf(model, "b0.o.b"), Shape({12}));
}

TEST_P(ShrinkHeads, AHeadWhoseValuesAreConstantBecomesABias) {
  const Form form = FormOf(GetParam());
  Graph graph = Transformer(form);
  ClearValues(&graph, form, 1, 0);
  ClearValues(&graph, form, 1, 2);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(WidthsOf(model, form, "b0"), (Widths{12, 12, 12, 12}));
  EXPECT_EQ(WidthsOf(model, form, "b1"), (Widths{4, 4, 4, 4}));
}

INSTANTIATE_TEST_SUITE_P(
    Forms, ShrinkHeads,
    testing::Combine(testing::Values(Form::Linear::kMatMul, Form::Linear::kTransposed,
                                     Form::Linear::kGemm),
                     testing::Values(Form::Extents::kCopied, Form::Extents::kWritten,
                                     Form::Extents::kComputed)));

// Nothing reads a head of block 0: the bias of the output is all that its attention adds. Of block
// 1, whose values are their bias, one head stays to pass it on.
TEST(ShrinkAttention, WithoutHeadsIsAConstantOrKeepsOne) {
  const Form form;
  Graph graph = Transformer(form);
  for (int64_t head = 0; head < form.heads; ++head) {
    ClearReader(&graph, form, 0, head);
    ClearValues(&graph, form, 1, head);
  }
  const ShrunkModel model = ShrunkAndEqual(graph);
  for (const std::string weight : {"b0.q.w", "b0.k.w", "b0.v.w", "b0.o.w"}) {
    EXPECT_EQ(ShapeOf(model, weight), Shape({-1})) << weight;
  }
  EXPECT_EQ(ShapeOf(model, "b0.o.constant"), Shape({form.width}));
  EXPECT_EQ(WidthsOf(model, form, "b1"), (Widths{4, 4, 4, 4}));
}

TEST(ShrinkAttention, WhatComputedExtentsGoesWithThem) {
  Form form;
  form.extents = Form::Extents::kComputed;
  form.blocks = 1;
  Graph graph = Transformer(form);
  EXPECT_TRUE(ReadsExtents(graph));
  ClearReader(&graph, form, 0, 1);
  EXPECT_FALSE(ReadsExtents(ShrunkAndEqual(graph).graph));
}

TEST(ShrinkAttention, ExtentsOfAProjectionThatHeadsDoNotChangeMayBeRead) {
  Form form;
  form.extents = Form::Extents::kComputed;
  form.extents_of_projection = true;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  EXPECT_EQ(WidthsOf(ShrunkAndEqual(graph), form, "b0"), (Widths{8, 8, 8, 8}));
}

// Then more than the Reshape may depend on how many heads there are.
TEST(ShrinkAttention, HeadsStayWhoseNumberIsRead) {
  const Form form;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  for (const int64_t axis : {1, 2}) {
    Graph reading = graph.Clone();
    const Tensor index = Tensor::FromVector<int64_t>(Shape({1}), {axis});
    reading.initializers.push_back({"index", index.Clone(), ""});
    reading.nodes.push_back({"", "Shape", "", {"b0.q"}, {"extents"}, {}, ""});
    reading.nodes.push_back({"", "Gather", "", {"extents", "index"}, {"extent"}, {}, ""});
    reading.nodes.push_back({"", "ConstantOfShape", "", {"extent"}, {"zeros"}, {}, ""});
    AddOutput("zeros", &reading);
    EXPECT_EQ(ShrunkAndEqual(reading).tensors.empty(), axis == 2) << axis;
  }
}

// Batch and places change places in these extents, which looks like nothing where there are as many
// of both.
TEST(ShrinkAttention, HeadsStayWhereNoNumbersDoForEveryBatch) {
  for (const int64_t places : {kShrinkExamples, kShrinkExamples + 1}) {
    Form form;
    form.extents = Form::Extents::kComputed;
    form.places = places;
    Graph graph = Transformer(form);
    ClearReader(&graph, form, 0, 1);
    for (Node& node : graph.nodes) {
      const std::string& output = node.output(0);
      if (output != "b0.q.to" && output != "b0.k.to" && output != "b0.v.to") continue;
      std::swap(node.inputs[0], node.inputs[1]);
    }
    EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty()) << places;
  }
}

TEST(ShrinkAttention, HalfAHeadStays) {
  const Form form;
  Graph graph = Transformer(form);
  for (int64_t i = 0; i < 6; ++i) ClearSlice(&graph, "b0.o.w", InAxis(form), i);
  EXPECT_EQ(WidthsOf(ShrunkAndEqual(graph), form, "b0"), (Widths{8, 8, 8, 8}));
  for (int64_t i = 6; i < 8; ++i) ClearSlice(&graph, "b0.v.w", OutAxis(form), i);
  EXPECT_EQ(WidthsOf(ShrunkAndEqual(graph), form, "b0"), (Widths{4, 4, 4, 4}));
}

TEST(ShrinkAttention, EmptyQueriesOrKeysAreNoReason) {
  const Form form;
  Graph graph = Transformer(form);
  for (int64_t i = 0; i < form.depth; ++i) {
    ClearSlice(&graph, "b0.q.w", OutAxis(form), i);
    ClearSlice(&graph, "b1.k.w", OutAxis(form), i);
  }
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(ShrinkAttention, AConstantHeadStaysWithoutABiasToTakeIt) {
  Form form;
  form.output_bias = false;
  Graph graph = Transformer(form);
  ClearValues(&graph, form, 0, 1);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
  ClearReader(&graph, form, 0, 1);
  EXPECT_EQ(WidthsOf(ShrunkAndEqual(graph), form, "b0"), (Widths{8, 8, 8, 8}));
}

TEST(ShrinkAttention, MasksForAllHeadsAreNoHindrance) {
  for (const auto mask : {Form::Mask::kMatrix, Form::Mask::kForAllHeads}) {
    Form form;
    form.mask = mask;
    Graph graph = Transformer(form);
    ClearReader(&graph, form, 0, 1);
    ClearValues(&graph, form, 1, 1);
    const ShrunkModel model = ShrunkAndEqual(graph);
    EXPECT_EQ(WidthsOf(model, form, "b0"), (Widths{8, 8, 8, 8}));
    EXPECT_EQ(WidthsOf(model, form, "b1"), (Widths{8, 8, 8, 8}));
  }
}

TEST(ShrinkAttention, AMaskPerHeadLosesItsHeadIfItIsAWeight) {
  Form form;
  form.mask = Form::Mask::kPerHead;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(WidthsOf(model, form, "b0"), (Widths{8, 8, 8, 8}));
  EXPECT_EQ(ShapeOf(model, "b0.scores.mask"), Shape({1, 2, 5, 5}));
}

TEST(ShrinkAttention, HeadsStayWithAMaskPerHeadThatIsMade) {
  Form form;
  form.mask = Form::Mask::kPerHeadComputed;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(ShrinkAttention, HeadsStayWithAnotherSoftmax) {
  for (const int64_t axis : {1, 2}) {
    const Form form;
    Graph graph = Transformer(form);
    for (Node& node : graph.nodes) {
      if (node.op_type == "Softmax") node.attributes = {{"axis", axis}};
    }
    // Over places, weights are no means of values; over heads, heads depend on one another.
    ClearValues(&graph, form, 0, 1);
    EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty()) << axis;
    ClearReader(&graph, form, 0, 1);
    EXPECT_EQ(ShrunkAndEqual(graph).tensors.empty(), axis == 1) << axis;
  }
}

TEST(ShrinkAttention, HeadsStayWhoseWeightsAreAnOutput) {
  const Form form;
  Graph graph = Transformer(form);
  AddOutput("b0.weights", &graph);
  ClearReader(&graph, form, 0, 1);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

// [batch, places, 3, heads, depth], of which each part is picked.
TEST(ShrinkAttention, AFusedProjectionLosesItsHeadThrice) {
  for (const auto extents :
       {Form::Extents::kCopied, Form::Extents::kWritten, Form::Extents::kComputed}) {
    Form form;
    form.fused = true;
    form.extents = extents;
    Graph graph = Transformer(form);
    ClearReader(&graph, form, 0, 1);
    ClearValues(&graph, form, 1, 0);
    const ShrunkModel model = ShrunkAndEqual(graph);
    for (const char* block : {"b0", "b1"}) {
      EXPECT_EQ(ShapeOf(model, std::string(block) + ".qkv.w"), Shape({12, 24}));
      EXPECT_EQ(ShapeOf(model, std::string(block) + ".o.w"), Shape({8, 12}));
    }
  }
}

TEST(ShrinkAttention, QueriesThatShareAKeyGoTogetherOrStay) {
  Form form;
  form.queries = 2;
  Graph graph = Transformer(form);
  for (int64_t i = 0; i < form.depth; ++i) {  // One of the two.
    ClearSlice(&graph, "b0.o.w", InAxis(form), 2 * form.depth + i);
  }
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
  ClearReader(&graph, form, 0, 1);
  ClearValues(&graph, form, 1, 2);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(WidthsOf(model, form, "b0"), (Widths{16, 8, 8, 16}));
  EXPECT_EQ(WidthsOf(model, form, "b1"), (Widths{16, 8, 8, 16}));
}

TEST(ShrinkAttention, AKeyThatAllHeadsShareStays) {
  Form form;
  form.shared_keys = true;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  EXPECT_EQ(WidthsOf(ShrunkAndEqual(graph), form, "b0"), (Widths{8, 4, 4, 8}));
}

TEST(ShrinkAttention, NeuronsOfTheLinearLayersGo) {
  for (const auto linear :
       {Form::Linear::kMatMul, Form::Linear::kTransposed, Form::Linear::kGemm}) {
    Form form;
    form.linear = linear;
    Graph graph = Transformer(form);
    ClearSlice(&graph, "b0.up.w", OutAxis(form), 3);
    ClearSlice(&graph, "b0.down.w", InAxis(form), 7);
    const ShrunkModel model = ShrunkAndEqual(graph);
    EXPECT_EQ(ShapeOf(model, "b0.up.w")[OutAxis(form)], 8);
    EXPECT_EQ(ShapeOf(model, "b0.up.b"), Shape({8}));
    EXPECT_EQ(ShapeOf(model, "b0.down.w")[InAxis(form)], 8);
  }
}

// A weight whose transposition another node reads too is not understood.
TEST(ShrinkAttention, ATransposedWeightThatIsReadElsewhereStays) {
  Form form;
  form.linear = Form::Linear::kTransposed;
  Graph graph = Transformer(form);
  ClearReader(&graph, form, 0, 1);
  graph.nodes.push_back({"", "Softmax", "", {"b0.q.t"}, {"other"}, {}, ""});
  AddOutput("other", &graph);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(ShrinkAttention, RandomTransformersComputeTheSame) {
  Random random(5, kStreamTest, 0);
  const auto pick = [&](int64_t below) { return static_cast<int64_t>(random.Below(below)); };
  int shrunk = 0;
  for (int round = 0; round < 60; ++round) {
    Form form;
    form.places = 1 + pick(6);
    form.heads = 1 + pick(4);
    form.depth = 1 + pick(5);
    form.width = 6 + pick(8);
    form.linear = static_cast<Form::Linear>(pick(3));
    form.extents = static_cast<Form::Extents>(pick(3));
    form.extents_of_projection = pick(2) == 0;
    form.scale = static_cast<Form::Scale>(pick(3));
    form.output_bias = pick(4) != 0;
    form.fused = pick(4) == 0;
    if (!form.fused && pick(4) == 0) form.queries = 2 + pick(2);
    if (!form.fused && form.queries == 1 && pick(4) == 0) form.shared_keys = true;
    // Masks for one head each are of rank 4.
    form.mask = static_cast<Form::Mask>(pick(form.queries == 1 ? 5 : 3));
    Graph graph = Transformer(form);
    for (int block = 0; block < form.blocks; ++block) {
      for (int64_t head = 0; head < form.heads; ++head) {
        const int64_t what = pick(4);
        if (what == 0) ClearReader(&graph, form, block, head);
        if (what == 1 && !form.shared_keys) ClearValues(&graph, form, block, head);
      }
    }
    for (const Initializer& initializer : graph.initializers) {
      if (initializer.value.dtype() != DType::kFloat32 || initializer.value.shape().rank() != 2) {
        continue;
      }
      const auto axis = static_cast<int>(pick(2));
      ClearSlice(&graph, initializer.name, axis, pick(initializer.value.shape()[axis]));
    }
    shrunk += ShrunkAndEqual(graph).tensors.empty() ? 0 : 1;
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(shrunk, 40);
}

}  // namespace
}  // namespace topiary
