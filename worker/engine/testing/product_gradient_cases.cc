#include <set>
#include <string>
#include <vector>

#include "worker/engine/testing/gradient_case.h"

namespace topiary {
namespace {

GradientCase Gemm(const std::string& name, const Shape& a, const Shape& b, const Shape& dst,
                  const std::vector<Attribute>& attributes) {
  return GradientGraph()
      .Weight("a", a)
      .Weight("b", b)
      .Node("Gemm", {"a", "b"}, "z", attributes)
      .Finish("Gemm" + name, "z", dst);
}

GradientCase GemmWithBias(const std::string& name, const Shape& bias,
                          const std::vector<Attribute>& attributes) {
  return GradientGraph()
      .Weight("a", {3, 4})
      .Weight("b", {4, 5})
      .Weight("c", bias)
      .Node("Gemm", {"a", "b", "c"}, "z", attributes)
      .Finish("GemmBias" + name, "z", {3, 5});
}

GradientCase MatMul(const std::string& name, const Shape& a, const Shape& b, const Shape& dst) {
  return GradientGraph()
      .Weight("a", a)
      .Weight("b", b)
      .Node("MatMul", {"a", "b"}, "z")
      .Finish("MatMul" + name, "z", dst);
}

// x -> Gemm -> Relu -> Gemm with one weight for both.
GradientCase SharedWeight() {
  return GradientGraph()
      .Input("x", {GraphBuilder::kBatch, 4})
      .Weight("w", {4, 4}, 0.5f)
      .Weight("c", {4})
      .Node("Gemm", {"x", "w", "c"}, "h")
      .Node("Tanh", {"h"}, "t")
      .Node("Gemm", {"t", "w", "c"}, "y", {Int("transB", 1)})
      .Output("y")
      .Finish("GemmSharedWeight", LossKind::kMeanSquaredError, 3);
}

// nn.Linear on sequences as exporters write it, the product scaled.
GradientCase TransposedWeight(bool relu) {
  GradientGraph graph;
  graph.Weight("a", {2, 3, 4})
      .Weight("w", {5, 4})
      .Weight("bias", {5})
      .Constant("c", Tensor::Scalar(1.6f))
      .Node("Transpose", {"w"}, "t", {List("perm", {1, 0})})
      .Node("MatMul", {"a", "t"}, "p")
      .Node("Div", {"p", "c"}, "q")
      .Node("Add", {"bias", "q"}, "r");
  if (!relu) return graph.Finish("MatMulTransposedWeight", "r", {2, 3, 5});
  return graph.Node("Relu", {"r"}, "z").Finish("MatMulTransposedWeightRelu", "z", {2, 3, 5});
}

// nn.Linear on sequences twice, with one bias for both.
GradientCase SharedBias() {
  return GradientGraph()
      .Weight("a", {2, 3, 4})
      .Weight("v", {4, 5})
      .Weight("w", {5, 5})
      .Weight("bias", {5})
      .Node("MatMul", {"a", "v"}, "p")
      .Node("Add", {"p", "bias"}, "q")
      .Node("MatMul", {"q", "w"}, "r")
      .Node("Add", {"bias", "r"}, "z")
      .Finish("MatMulSharedBias", "z", {2, 3, 5});
}

// As language models do: the table of the embedding, transposed, gives the scores.
GradientCase TiedEmbedding() {
  return GradientGraph()
      .Input("ids", {GraphBuilder::kBatch, 3}, DType::kInt64)
      .Weight("table", {6, 4})
      .Node("Gather", {"table", "ids"}, "e")
      .Node("Tanh", {"e"}, "h")
      .Node("Transpose", {"table"}, "t", {List("perm", {1, 0})})
      .Node("MatMul", {"h", "t"}, "y")
      .Output("y")
      .Finish("MatMulTiedEmbedding", LossKind::kSoftmaxCrossEntropy, 4);
}

// One activation read by three products: their gradients accumulate.
GradientCase SharedActivation() {
  return GradientGraph()
      .Input("x", {GraphBuilder::kBatch, 4})
      .Weight("w0", {4, 6})
      .Weight("w1", {6, 3})
      .Weight("w2", {6, 3})
      .Weight("w3", {6, 3})
      .Node("Gemm", {"x", "w0"}, "h")
      .Node("Sigmoid", {"h"}, "s")
      .Node("Gemm", {"s", "w1"}, "p")
      .Node("MatMul", {"s", "w2"}, "q")
      .Node("Gemm", {"s", "w3"}, "r")
      .Node("Add", {"p", "q"}, "pq")
      .Node("Mul", {"pq", "r"}, "y")
      .Output("y")
      .Finish("GemmSharedActivation", LossKind::kMeanSquaredError, 3);
}

GradientCase WithRelu(const std::string& op_type) {
  return GradientGraph()
      .Weight("a", {3, 4})
      .Weight("b", {4, 5})
      .Node(op_type, {"a", "b"}, "z")
      .Node("Relu", {"z"}, "r")
      .Finish(op_type + "Relu", "r", {3, 5});
}

// Attention of two heads over three places, of weights with these names.
GradientCase Attention(const std::string& name, const std::vector<std::string>& operands) {
  GradientGraph graph;
  for (const std::string& operand : std::set<std::string>(operands.begin(), operands.end())) {
    graph.Weight(operand, {2, 3, 2, 4});
  }
  return graph.Constant("scale", Tensor::Scalar(0.7f))
      .Node("Transpose", {operands[0]}, "qt", {List("perm", {0, 2, 1, 3})})
      .Node("Transpose", {operands[1]}, "kt", {List("perm", {0, 2, 3, 1})})
      .Node("Transpose", {operands[2]}, "vt", {List("perm", {0, 2, 1, 3})})
      .Node("MatMul", {"qt", "kt"}, "products")
      .Node("Mul", {"products", "scale"}, "scores")
      .Node("Softmax", {"scores"}, "weights", {Int("axis", -1)})
      .Node("MatMul", {"weights", "vt"}, "heads")
      .Node("Transpose", {"heads"}, "z", {List("perm", {0, 2, 1, 3})})
      .Finish("Attention" + name, "z", {2, 3, 2, 4});
}

}  // namespace

void AddProductGradientCases(std::vector<GradientCase>* cases) {
  cases->push_back(Gemm("Plain", {3, 4}, {4, 5}, {3, 5}, {}));
  cases->push_back(Gemm("TransA", {4, 3}, {4, 5}, {3, 5}, {Int("transA", 1)}));
  cases->push_back(Gemm("TransB", {3, 4}, {5, 4}, {3, 5}, {Int("transB", 1)}));
  cases->push_back(Gemm("TransBothAlpha", {4, 3}, {5, 4}, {3, 5},
                        {Int("transA", 1), Int("transB", 1), Float("alpha", 0.5f)}));
  cases->push_back(GemmWithBias("Vector", {5}, {}));
  cases->push_back(GemmWithBias("Row", {1, 5}, {}));
  cases->push_back(GemmWithBias("Column", {3, 1}, {}));
  cases->push_back(GemmWithBias("Matrix", {3, 5}, {Float("beta", -2.0f)}));
  cases->push_back(GemmWithBias("BetaVector", {5}, {Float("beta", 0.5f), Float("alpha", 3.0f)}));
  cases->push_back(WithRelu("Gemm"));
  cases->push_back(WithRelu("MatMul"));
  cases->push_back(SharedWeight());
  cases->push_back(TransposedWeight(false));
  cases->push_back(TransposedWeight(true));
  cases->push_back(SharedActivation());
  cases->push_back(SharedBias());
  cases->push_back(TiedEmbedding());
  cases->push_back(MatMul("Matrices", {3, 4}, {4, 5}, {3, 5}));
  cases->push_back(MatMul("StackTimesMatrix", {2, 3, 4}, {4, 5}, {2, 3, 5}));
  cases->push_back(MatMul("Stacks", {2, 3, 4}, {2, 4, 5}, {2, 3, 5}));
  cases->push_back(MatMul("BroadcastRight", {2, 3, 4}, {1, 4, 5}, {2, 3, 5}));
  cases->push_back(MatMul("MatrixTimesStack", {3, 4}, {2, 4, 5}, {2, 3, 5}));
  cases->push_back(MatMul("BroadcastBoth", {2, 1, 3, 4}, {3, 4, 2}, {2, 3, 3, 2}));
  cases->push_back(MatMul("VectorOnTheRight", {3, 4}, {4}, {3}));
  cases->push_back(MatMul("VectorOnTheLeft", {4}, {4, 3}, {3}));
  cases->push_back(Attention("", {"q", "k", "v"}));
  cases->push_back(Attention("OfOneValue", {"q", "q", "q"}));
  cases->push_back(Attention("OfValuesThatAreQueries", {"q", "k", "q"}));
}

}  // namespace topiary
