#include "worker/engine/testing/gradient_case.h"

namespace topiary {
namespace {

GradientCase Conv(const std::string& name, const Shape& src, const Shape& weights, const Shape& dst,
                  const std::vector<Attribute>& attributes, bool bias, bool relu = false) {
  GradientGraph graph;
  graph.Weight("src", src).Weight("w", weights, 0.5f);
  std::vector<std::string> operands = {"src", "w"};
  if (bias) {
    graph.Weight("c", Shape({weights[0]}));
    operands.push_back("c");
  }
  graph.Node("Conv", operands, "z", attributes);
  if (relu) graph.Node("Relu", {"z"}, "r");
  return graph.Finish("Conv" + name, relu ? "r" : "z", dst);
}

GradientCase Pool(const std::string& op_type, const std::string& name, const Shape& src,
                  const Shape& dst, const std::vector<Attribute>& attributes) {
  return GradientGraph()
      .DistinctWeight("src", src)
      .Node(op_type, {"src"}, "z", attributes)
      .Finish(op_type + name, "z", dst);
}

GradientGraph BatchNorm(const Shape& src) {
  GradientGraph graph;
  graph.Weight("src", src)
      .Weight("scale", Shape({src[1]}))
      .Weight("bias", Shape({src[1]}))
      .Statistics("mean", "variance", src[1])
      .Node("BatchNormalization", {"src", "scale", "bias", "mean", "variance"}, "n",
            {Float("epsilon", 0.01f)});
  return graph;
}

// relu(bn(a) + bn(b)), the join of a residual block that changes shape.
GradientCase TwoBranches() {
  return BatchNorm({3, 2, 3, 2})
      .Weight("other", {3, 2, 3, 2})
      .Weight("scale2", {2})
      .Weight("bias2", {2})
      .Statistics("mean2", "variance2", 2)
      .Node("BatchNormalization", {"other", "scale2", "bias2", "mean2", "variance2"}, "m")
      .Node("Add", {"n", "m"}, "s")
      .Node("Relu", {"s"}, "r")
      .Finish("BatchNormalizationTwoBranches", "r", {3, 2, 3, 2});
}

// The block of a residual network: the sum feeds both the next convolution and the next sum.
GradientCase ResidualBlock() {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 2, 4, 4}).Weight("w0", {3, 2, 3, 3}, 0.4f);
  graph.Node("Conv", {"x", "w0"}, "h0", {List("pads", {1, 1, 1, 1})});
  std::string last = "h0";
  for (const std::string i : {"1", "2"}) {
    graph.Weight("w" + i, {3, 3, 3, 3}, 0.4f)
        .Weight("scale" + i, {3})
        .Weight("bias" + i, {3})
        .Statistics("mean" + i, "variance" + i, 3)
        .Node("Conv", {last, "w" + i}, "c" + i, {List("pads", {1, 1, 1, 1})})
        .Node("BatchNormalization", {"c" + i, "scale" + i, "bias" + i, "mean" + i, "variance" + i},
              "n" + i)
        .Node("Add", {"n" + i, last}, "s" + i)
        .Node("Relu", {"s" + i}, "h" + i);
    last = "h" + i;
  }
  return graph.Node("GlobalAveragePool", {last}, "g")
      .Node("Flatten", {"g"}, "y")
      .Output("y")
      .Finish("BatchNormalizationResidualBlocks", LossKind::kMeanSquaredError, 3);
}

void AddBatchNorms(std::vector<GradientCase>* cases) {
  cases->push_back(BatchNorm({3, 2, 3, 2}).Finish("BatchNormalization", "n", {3, 2, 3, 2}));
  cases->push_back(BatchNorm({6, 3}).Finish("BatchNormalizationVectors", "n", {6, 3}));
  cases->push_back(BatchNorm({3, 2, 5}).Finish("BatchNormalizationSignal", "n", {3, 2, 5}));
  cases->push_back(BatchNorm({3, 2, 3, 2})
                       .Node("Relu", {"n"}, "r")
                       .Finish("BatchNormalizationRelu", "r", {3, 2, 3, 2}));
  cases->push_back(BatchNorm({3, 2, 3, 2})
                       .Weight("residual", {3, 2, 3, 2})
                       .Node("Add", {"residual", "n"}, "s")
                       .Node("Relu", {"s"}, "r")
                       .Finish("BatchNormalizationAddRelu", "r", {3, 2, 3, 2}));
  cases->push_back(BatchNorm({3, 2, 3, 2})
                       .Weight("offset", {2, 1, 1})
                       .Node("Add", {"n", "offset"}, "s")
                       .Node("Relu", {"s"}, "r")
                       .Finish("BatchNormalizationAddBroadcast", "r", {3, 2, 3, 2}));
  cases->push_back(TwoBranches());
  cases->push_back(ResidualBlock());
}

void AddPools(std::vector<GradientCase>* cases) {
  const Attribute two = List("kernel_shape", {2, 2});
  const Attribute three = List("kernel_shape", {3, 3});
  const Attribute by_two = List("strides", {2, 2});
  const Attribute padded = List("pads", {1, 1, 1, 1});
  for (const std::string op_type : {"MaxPool", "AveragePool"}) {
    cases->push_back(Pool(op_type, "", {2, 2, 4, 4}, {2, 2, 2, 2}, {two, by_two}));
    cases->push_back(
        Pool(op_type, "Overlapping", {2, 2, 5, 5}, {2, 2, 3, 3}, {three, by_two, padded}));
    cases->push_back(Pool(op_type, "CeilMode", {2, 1, 6, 6}, {2, 1, 3, 3},
                          {three, by_two, Int("ceil_mode", 1)}));
    cases->push_back(Pool(op_type, "Signal", {2, 3, 7}, {2, 3, 3},
                          {List("kernel_shape", {3}), List("strides", {2})}));
  }
  cases->push_back(Pool("AveragePool", "IncludePad", {2, 2, 5, 5}, {2, 2, 3, 3},
                        {three, by_two, padded, Int("count_include_pad", 1)}));
  cases->push_back(Pool("MaxPool", "SameUpper", {2, 1, 5, 5}, {2, 1, 3, 3},
                        {two, by_two, String("auto_pad", "SAME_UPPER")}));
  cases->push_back(Pool("GlobalAveragePool", "", {2, 3, 3, 4}, {2, 3, 1, 1}, {}));
  cases->push_back(Pool("GlobalAveragePool", "Signal", {2, 3, 5}, {2, 3, 1}, {}));
}

}  // namespace

void AddImageGradientCases(std::vector<GradientCase>* cases) {
  const Attribute same = List("pads", {1, 1, 1, 1});
  const Shape three({3, 2, 3, 3});
  cases->push_back(Conv("", {2, 2, 4, 4}, three, {2, 3, 4, 4}, {same}, false));
  cases->push_back(Conv("Bias", {2, 2, 4, 4}, three, {2, 3, 4, 4}, {same}, true));
  cases->push_back(Conv("BiasRelu", {2, 2, 4, 4}, three, {2, 3, 4, 4}, {same}, true, true));
  cases->push_back(
      Conv("Strided", {2, 2, 5, 5}, three, {2, 3, 3, 3}, {same, List("strides", {2, 2})}, true));
  cases->push_back(Conv("Dilated", {2, 1, 6, 6}, {2, 1, 3, 2}, {2, 2, 2, 4},
                        {List("dilations", {2, 2})}, false));
  cases->push_back(
      Conv("Grouped", {2, 4, 4, 4}, {6, 2, 3, 3}, {2, 6, 4, 4}, {same, Int("group", 2)}, true));
  cases->push_back(
      Conv("Depthwise", {2, 3, 4, 4}, {3, 1, 3, 3}, {2, 3, 4, 4}, {same, Int("group", 3)}, false));
  cases->push_back(Conv("AsymmetricPads", {2, 1, 4, 4}, {2, 1, 2, 3}, {2, 2, 5, 4},
                        {List("pads", {0, 1, 2, 1})}, false));
  cases->push_back(Conv("SameUpper", {2, 1, 5, 5}, {2, 1, 3, 3}, {2, 2, 3, 3},
                        {String("auto_pad", "SAME_UPPER"), List("strides", {2, 2})}, false));
  cases->push_back(Conv("Signal", {2, 3, 8}, {4, 3, 3}, {2, 4, 3},
                        {List("strides", {2}), List("dilations", {1})}, true));
  AddBatchNorms(cases);
  AddPools(cases);
}

}  // namespace topiary
