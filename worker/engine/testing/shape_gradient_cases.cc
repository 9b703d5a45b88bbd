#include "worker/engine/testing/gradient_case.h"

namespace topiary {
namespace {

// z = op(src) with an integer operand where the operator takes one.
GradientCase Reshaping(const std::string& op_type, const std::string& name, const Shape& src,
                       const Shape& dst, const std::vector<int64_t>& operand,
                       const std::vector<Attribute>& attributes = {}) {
  GradientGraph graph;
  graph.Weight("src", src);
  std::vector<std::string> inputs = {"src"};
  if (!operand.empty()) {
    graph.Ints("operand", operand);
    inputs.push_back("operand");
  }
  return graph.Node(op_type, inputs, "z", attributes).Finish(op_type + name, "z", dst);
}

GradientCase Concat(const std::string& name, const std::vector<Shape>& parts, int64_t axis,
                    const Shape& dst) {
  GradientGraph graph;
  std::vector<std::string> inputs;
  for (size_t i = 0; i < parts.size(); ++i) {
    inputs.push_back("p" + std::to_string(i));
    graph.Weight(inputs.back(), parts[i]);
  }
  return graph.Node("Concat", inputs, "z", {Int("axis", axis)}).Finish("Concat" + name, "z", dst);
}

GradientCase Gather(const std::string& name, const Shape& src, int64_t axis,
                    const std::vector<int64_t>& indices, const Shape& dst) {
  return GradientGraph()
      .Weight("src", src)
      .Ints("indices", indices)
      .Node("Gather", {"src", "indices"}, "z", {Int("axis", axis)})
      .Finish("Gather" + name, "z", dst);
}

}  // namespace

void AddShapeGradientCases(std::vector<GradientCase>* cases) {
  cases->push_back(Reshaping("Flatten", "", {2, 3, 2, 2}, {2, 12}, {}));
  cases->push_back(Reshaping("Flatten", "Axis", {2, 3, 4}, {6, 4}, {}, {Int("axis", 2)}));
  cases->push_back(Reshaping("Reshape", "", {2, 6}, {2, 2, 3}, {0, 2, -1}));
  cases->push_back(Reshaping("Squeeze", "", {2, 1, 3, 1}, {2, 3, 1}, {1}));
  cases->push_back(Reshaping("Unsqueeze", "", {2, 3}, {2, 1, 3}, {1}));
  cases->push_back(Reshaping("Cast", "", {2, 3}, {2, 3}, {}, {Int("to", 1)}));
  cases->push_back(Reshaping("Transpose", "", {2, 3, 4}, {4, 2, 3}, {}, {List("perm", {2, 0, 1})}));
  cases->push_back(Reshaping("Transpose", "Reversed", {4, 3, 2}, {2, 3, 4}, {}));
  cases->push_back(Concat("Columns", {{2, 3}, {2, 1}, {2, 2}}, -1, {2, 6}));
  cases->push_back(Concat("Channels", {{2, 1, 2, 2}, {2, 3, 2, 2}}, 1, {2, 4, 2, 2}));
  cases->push_back(Concat("Batch", {{1, 3}, {2, 3}}, 0, {3, 3}));
  cases->push_back(Gather("Embedding", {5, 4}, 0, {3, 0, 3, -1}, {4, 4}));
  cases->push_back(Gather("MiddleAxis", {2, 4, 3}, 1, {2, 2}, {2, 2, 3}));
  cases->push_back(GradientGraph()
                       .Weight("src", {3, 4, 2})
                       .Constant("index", Tensor::Scalar(int64_t{0}))
                       .Node("Gather", {"src", "index"}, "z", {Int("axis", 1)})
                       .Finish("GatherOnePosition", "z", {3, 2}));
  // The same value twice: both slices of the gradient come back to it.
  cases->push_back(GradientGraph()
                       .Weight("a", {2, 3})
                       .Node("Tanh", {"a"}, "t")
                       .Node("Concat", {"t", "a", "t"}, "z", {Int("axis", 1)})
                       .Finish("ConcatOfItself", "z", {2, 9}));
}

}  // namespace topiary
