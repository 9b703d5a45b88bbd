#include "worker/engine/testing/gradient_case.h"

namespace topiary {
namespace {

GradientCase Unary(const std::string& op_type, const std::vector<Attribute>& attributes = {}) {
  return GradientGraph()
      .DistinctWeight("src", {3, 2, 4})
      .Node(op_type, {"src"}, "z", attributes)
      .Finish(op_type, "z", {3, 2, 4});
}

GradientCase Clip(const std::string& name, const std::vector<std::string>& bounds) {
  std::vector<std::string> operands = {"src"};
  operands.insert(operands.end(), bounds.begin(), bounds.end());
  return GradientGraph()
      .DistinctWeight("src", {3, 8})
      .Constant("low", Tensor::Scalar(-0.26f))
      .Constant("high", Tensor::Scalar(0.31f))
      .Node("Clip", operands, "z")
      .Finish("Clip" + name, "z", {3, 8});
}

GradientCase Binary(const std::string& op_type, const std::string& name, const Shape& a,
                    const Shape& b, const Shape& dst) {
  // Divisors away from 0.
  Tensor right = RandomWeight("b", b, 0.2f);
  for (float& element : right.span<float>()) element += element < 0 ? -1.0f : 1.0f;
  GradientGraph graph;
  graph.Weight("a", a).Constant("b", std::move(right));
  return graph.Node(op_type, {"a", "b"}, "z").Finish(op_type + name, "z", dst);
}

GradientCase Softmax(const std::string& op_type, const std::string& name, const Shape& shape,
                     int64_t axis) {
  return GradientGraph()
      .Weight("src", shape)
      .Node(op_type, {"src"}, "z", {Int("axis", axis)})
      .Finish(op_type + name, "z", shape);
}

GradientCase LayerNorm(const std::string& name, const Shape& src, const Shape& normalized,
                       int64_t axis, bool bias) {
  std::vector<std::string> operands = {"src", "scale"};
  if (bias) operands.push_back("bias");
  return GradientGraph()
      .Weight("src", src)
      .Weight("scale", normalized)
      .Weight("bias", normalized)
      .Node("LayerNormalization", operands, "z", {Int("axis", axis)})
      .Finish("LayerNorm" + name, "z", src);
}

void AddBinaries(const std::string& op_type, std::vector<GradientCase>* cases) {
  cases->push_back(Binary(op_type, "", {3, 4}, {3, 4}, {3, 4}));
  cases->push_back(Binary(op_type, "Channels", {2, 3, 2, 2}, {3, 1, 1}, {2, 3, 2, 2}));
  cases->push_back(Binary(op_type, "StretchedLeft", {1, 4}, {3, 4}, {3, 4}));
  cases->push_back(Binary(op_type, "BothStretched", {3, 1, 2}, {4, 1}, {3, 4, 2}));
}

void AddSpecialBinaries(std::vector<GradientCase>* cases) {
  cases->push_back(GradientGraph()
                       .Weight("a", {3, 4})
                       .Node("Mul", {"a", "a"}, "z")
                       .Finish("MulOfItself", "z", {3, 4}));
  cases->push_back(GradientGraph()
                       .Weight("a", {3, 4})
                       .Node("Add", {"a", "a"}, "z")
                       .Finish("AddOfItself", "z", {3, 4}));
  cases->push_back(GradientGraph()
                       .Weight("a", {3, 4})
                       .Weight("b", {4})
                       .Node("Add", {"a", "b"}, "z")
                       .Node("Relu", {"z"}, "r")
                       .Finish("AddRelu", "r", {3, 4}));
  cases->push_back(GradientGraph()
                       .Weight("a", {3, 4})
                       .Constant("half", Tensor::Scalar(0.5f))
                       .Node("Mul", {"half", "a"}, "h")
                       .Node("Sub", {"half", "h"}, "z")
                       .Finish("SubAndMulOfConstants", "z", {3, 4}));
  // A value with four uses, one of them the output itself.
  cases->push_back(GradientGraph()
                       .Input("x", {GraphBuilder::kBatch, 4})
                       .Weight("w", {4})
                       .Node("Mul", {"x", "w"}, "a")
                       .Node("Tanh", {"a"}, "b")
                       .Node("Mul", {"a", "b"}, "c")
                       .Node("Sub", {"c", "a"}, "d")
                       .Node("Add", {"d", "b"}, "y")
                       .Output("y")
                       .Finish("AddOfManyUses", LossKind::kMeanSquaredError, 3));
}

}  // namespace

void AddElementwiseGradientCases(std::vector<GradientCase>* cases) {
  for (const std::string op_type : {"Relu", "Sigmoid", "Tanh", "Identity", "Erf", "Gelu"}) {
    cases->push_back(Unary(op_type));
  }
  cases->push_back(Unary("LeakyRelu", {Float("alpha", 0.2f)}));
  cases->push_back(Clip("", {"low", "high"}));
  cases->push_back(Clip("BelowOnly", {"low"}));
  cases->push_back(Clip("AboveOnly", {"", "high"}));
  for (const std::string op_type : {"Add", "Sub", "Mul", "Div"}) AddBinaries(op_type, cases);
  AddSpecialBinaries(cases);
  for (const std::string op_type : {"Softmax", "LogSoftmax"}) {
    cases->push_back(Softmax(op_type, "", {3, 5}, -1));
    cases->push_back(Softmax(op_type, "FirstAxis", {3, 5}, 0));
    cases->push_back(Softmax(op_type, "MiddleAxis", {2, 4, 3}, 1));
  }
  cases->push_back(LayerNorm("", {3, 2, 5}, {5}, -1, true));
  cases->push_back(LayerNorm("WithoutBias", {4, 5}, {5}, 1, false));
  cases->push_back(LayerNorm("TwoAxes", {3, 2, 4}, {2, 4}, 1, true));
  cases->push_back(GradientGraph()
                       .DistinctWeight("src", {3, 7})
                       .Constant("root", Tensor::Scalar(1.41421356f))
                       .Constant("one", Tensor::Scalar(1.0f))
                       .Constant("half", Tensor::Scalar(0.5f))
                       .Node("Div", {"src", "root"}, "scaled")
                       .Node("Erf", {"scaled"}, "erf")
                       .Node("Add", {"erf", "one"}, "sum")
                       .Node("Mul", {"src", "sum"}, "product")
                       .Node("Mul", {"product", "half"}, "z")
                       .Finish("GeluInFiveSteps", "z", {3, 7}));
  cases->push_back(GradientGraph()
                       .Weight("src", {4, 6})
                       .Constant("ratio", Tensor::Scalar(0.4f))
                       .Node("Dropout", {"src", "ratio"}, "z")
                       .Finish("Dropout", "z", {4, 6}));
}

}  // namespace topiary
