#include "worker/engine/testing/networks.h"

#include <cmath>
#include <string>
#include <utility>

namespace topiary {
namespace {

// A weight scaled so that activations keep their size.
void AddConv(GradientGraph* graph, const std::string& name, const std::string& src,
             const Shape& weights, int64_t stride, int64_t group = 1) {
  const float fan_in = static_cast<float>(weights[1] * weights[2] * weights[3]);
  graph->Weight(name + ".w", weights, std::sqrt(2.0f / fan_in));
  const int64_t pad = weights[2] / 2;
  graph->Node(
      "Conv", {src, name + ".w"}, name,
      {List("pads", {pad, pad, pad, pad}), List("strides", {stride, stride}), Int("group", group)});
}

void AddBatchNorm(GradientGraph* graph, const std::string& name, const std::string& src,
                  int64_t channels) {
  graph->Weight(name + ".scale", Shape({channels}), 0.5f)
      .Weight(name + ".bias", Shape({channels}), 0.5f)
      .Statistics(name + ".mean", name + ".variance", channels)
      .Node("BatchNormalization",
            {src, name + ".scale", name + ".bias", name + ".mean", name + ".variance"}, name);
}

void AddLinear(GradientGraph* graph, const std::string& name, const std::string& src, int64_t in,
               int64_t out, const std::string& dst) {
  graph->Weight(name + ".w", Shape({out, in}), std::sqrt(1.0f / static_cast<float>(in)))
      .Weight(name + ".b", Shape({out}), 0.1f)
      .Node("Gemm", {src, name + ".w", name + ".b"}, dst, {Int("transB", 1)});
}

// relu(bn(conv(relu(bn(conv(src))))) + skip).
void AddBlock(GradientGraph* graph, const std::string& name, const std::string& src, int64_t in,
              int64_t out, int64_t stride) {
  AddConv(graph, name + ".c1", src, Shape({out, in, 3, 3}), stride);
  AddBatchNorm(graph, name + ".n1", name + ".c1", out);
  graph->Node("Relu", {name + ".n1"}, name + ".r1");
  AddConv(graph, name + ".c2", name + ".r1", Shape({out, out, 3, 3}), 1);
  AddBatchNorm(graph, name + ".n2", name + ".c2", out);
  std::string skip = src;
  if (in != out || stride != 1) {
    AddConv(graph, name + ".c3", src, Shape({out, in, 1, 1}), stride);
    AddBatchNorm(graph, name + ".n3", name + ".c3", out);
    skip = name + ".n3";
  }
  graph->Node("Add", {name + ".n2", skip}, name + ".s").Node("Relu", {name + ".s"}, name);
}

}  // namespace

GradientCase ResidualNetwork(int64_t channels, int64_t batch) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 3, 12, 12});
  AddConv(&graph, "stem", "x", Shape({channels, 3, 3, 3}), 1);
  AddBatchNorm(&graph, "norm", "stem", channels);
  graph.Node("Relu", {"norm"}, "h0");
  AddBlock(&graph, "b1", "h0", channels, channels, 1);
  AddBlock(&graph, "b2", "b1", channels, 2 * channels, 2);
  graph.Node("MaxPool", {"b2"}, "pooled",
             {List("kernel_shape", {3, 3}), List("pads", {1, 1, 1, 1})});
  AddConv(&graph, "grouped", "pooled", Shape({2 * channels, channels, 3, 3}), 1, 2);
  graph.Node("Relu", {"grouped"}, "h3")
      .Node("GlobalAveragePool", {"h3"}, "g")
      .Node("Flatten", {"g"}, "f");
  AddLinear(&graph, "head", "f", 2 * channels, 10, "y");
  return graph.Output("y").Finish("ResidualNetwork" + std::to_string(channels),
                                  LossKind::kSoftmaxCrossEntropy, batch);
}

GradientCase BranchedNetwork(int64_t batch) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 16, 6, 6});
  AddConv(&graph, "a", "x", Shape({16, 16, 3, 3}), 1);
  AddConv(&graph, "b", "x", Shape({32, 16, 1, 1}), 1);
  graph.Node("Relu", {"a"}, "ar")
      .Node("Sigmoid", {"b"}, "br")
      .Node("Concat", {"ar", "br", "x"}, "joined", {Int("axis", 1)})
      .Node("AveragePool", {"joined"}, "pooled",
            {List("kernel_shape", {2, 2}), List("strides", {2, 2})});
  AddConv(&graph, "c", "pooled", Shape({16, 64, 3, 3}), 1);
  graph.Weight("offset", {16, 1, 1}, 0.3f)
      .Node("Add", {"c", "offset"}, "shifted")
      .Node("LeakyRelu", {"shifted"}, "h")
      .Node("Flatten", {"h"}, "f");
  AddLinear(&graph, "head", "f", 16 * 9, 10, "logits");
  return graph.Node("Softmax", {"logits"}, "y")
      .Output("y")
      .Finish("BranchedNetwork", LossKind::kSoftmaxCrossEntropy, batch);
}

GradientCase Perceptron(int64_t batch) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 784});
  AddLinear(&graph, "fc1", "x", 784, 64, "h");
  graph.Node("Relu", {"h"}, "r");
  AddLinear(&graph, "fc2", "r", 64, 10, "y");
  return graph.Output("y").Finish("Perceptron", LossKind::kSoftmaxCrossEntropy, batch);
}

GradientGraph AttentionGraph(const std::vector<int64_t>& back, AttentionMask kind) {
  constexpr int64_t kPlaces = 5, kHeads = 3, kDepth = 4, kWidth = kHeads * kDepth;
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, kPlaces, kWidth}).Ints("heads", {0, 0, kHeads, kDepth});
  for (const std::string name : {"q", "k", "v"}) {
    graph.Weight(name + ".w", Shape({kWidth, kWidth}), 0.3f)
        .Node("MatMul", {"x", name + ".w"}, name + ".p")
        .Node("Reshape", {name + ".p", "heads"}, name);
  }
  Tensor mask = Tensor::Zeros(DType::kFloat32, Shape({1, 1, kPlaces, kPlaces}));
  for (int64_t i = 0; i < kPlaces; ++i) {
    for (int64_t j = i + 1; j < kPlaces; ++j) mask.data<float>()[i * kPlaces + j] = -1e9f;
  }
  if (kind == AttentionMask::kTrained) {
    graph.Constant("mask", std::move(mask));
  } else {
    graph.Node("Constant", {}, "mask", {Constant("value", std::move(mask))});
  }
  graph.Constant("scale", Tensor::Scalar(0.5f));
  graph.Node("Transpose", {"q"}, "qt", {List("perm", {0, 2, 1, 3})})
      .Node("Transpose", {"k"}, "kt", {List("perm", {0, 2, 3, 1})})
      .Node("Transpose", {"v"}, "vt", {List("perm", {0, 2, 1, 3})})
      .Node("MatMul", {"qt", "kt"}, "products")
      .Node("Mul", {"products", "scale"}, "scaled")
      .Node("Add", {"scaled", "mask"}, "scores")
      .Node("Softmax", {"scores"}, "weights", {Int("axis", -1)})
      .Node("MatMul", {"weights", "vt"}, "heads_of_y")
      .Node("Transpose", {"heads_of_y"}, "y", {List("perm", back)})
      .Output("y");
  return graph;
}

}  // namespace topiary
