#include "worker/engine/testing/gradient_case.h"

namespace topiary {
namespace {

// x [batch, 4] -> Gemm -> `activation` (none if empty) -> y [batch, outputs].
GradientCase Classifier(const std::string& name, int64_t outputs, const std::string& activation,
                        LossKind loss) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 4})
      .Weight("w", {4, outputs})
      .Weight("c", Shape({outputs}))
      .Node("Gemm", {"x", "w", "c"}, activation.empty() ? "y" : "z");
  if (!activation.empty()) graph.Node(activation, {"z"}, "y");
  return graph.Output("y").Finish("Loss" + name, loss, 5);
}

// Ids [batch, 3] -> embedding -> MatMul -> `activation` (none if empty) -> y [batch, 3, 5].
GradientCase Sequence(const std::string& name, const std::string& activation) {
  GradientGraph graph;
  graph.Input("ids", {GraphBuilder::kBatch, 3}, DType::kInt64)
      .Weight("table", {6, 4})
      .Weight("w", {4, 5})
      .Node("Gather", {"table", "ids"}, "e")
      .Node("MatMul", {"e", "w"}, activation.empty() ? "y" : "z");
  if (!activation.empty()) graph.Node(activation, {"z"}, "y", {Int("axis", -1)});
  return graph.Output("y").Finish("Loss" + name, LossKind::kSoftmaxCrossEntropy, 4);
}

// x [batch, 4] -> Gemm -> Tanh -> h [batch, 3] -> Gemm -> `activation` (none if empty) -> y, which
// is to be like a teacher: h, with a weight of its own, and the output twice.
GradientCase Student(const std::string& name, int64_t outputs, const std::string& activation,
                     LossKind loss) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 4})
      .Weight("w", {4, 3})
      .Weight("v", {3, outputs})
      .Node("MatMul", {"x", "w"}, "z")
      .Node("Tanh", {"z"}, "h")
      .Node("MatMul", {"h", "v"}, activation.empty() ? "y" : "logits");
  if (!activation.empty()) graph.Node(activation, {"logits"}, "y");
  GradientCase made = graph.Output("y").Finish("Teacher" + name, loss, 5);
  made.teacher_losses = {{"", 0.7F, 2}, {"h", 1.5F}, {"", 0.2F, 1}};
  return made;
}

}  // namespace

void AddLossGradientCases(std::vector<GradientCase>* cases) {
  const LossKind cross_entropy = LossKind::kSoftmaxCrossEntropy;
  const LossKind binary = LossKind::kBinaryCrossEntropy;
  const LossKind squared = LossKind::kMeanSquaredError;
  cases->push_back(Classifier("CrossEntropyOfLogits", 6, "", cross_entropy));
  cases->push_back(Classifier("CrossEntropyOfSoftmax", 6, "Softmax", cross_entropy));
  cases->push_back(Classifier("CrossEntropyOfLogSoftmax", 6, "LogSoftmax", cross_entropy));
  cases->push_back(Classifier("BinaryOfLogits", 1, "", binary));
  cases->push_back(Classifier("BinaryOfSigmoid", 1, "Sigmoid", binary));
  cases->push_back(Classifier("BinaryOfManyColumns", 3, "Sigmoid", binary));
  cases->push_back(Classifier("SquaredError", 3, "", squared));
  cases->push_back(Classifier("SquaredErrorOfSigmoid", 2, "Sigmoid", squared));
  // A Sigmoid behind a change of shape still gives its logits.
  cases->push_back(GradientGraph()
                       .Input("x", {GraphBuilder::kBatch, 4})
                       .Weight("w", {4, 1})
                       .Ints("axes", {1})
                       .Node("MatMul", {"x", "w"}, "z")
                       .Node("Sigmoid", {"z"}, "s")
                       .Node("Squeeze", {"s", "axes"}, "y")
                       .Output("y")
                       .Finish("LossBinaryOfSqueezedSigmoid", binary, 5));
  cases->push_back(Sequence("CrossEntropyOfSequences", ""));
  cases->push_back(Sequence("CrossEntropyOfSoftmaxedSequences", "Softmax"));
  // [n, classes, 1, 1], as a fully convolutional network ends.
  cases->push_back(GradientGraph()
                       .Input("x", {GraphBuilder::kBatch, 2, 3, 3})
                       .Weight("w", {4, 2, 3, 3})
                       .Node("Conv", {"x", "w"}, "y")
                       .Output("y")
                       .Finish("LossCrossEntropyOfImages", cross_entropy, 3));
  cases->push_back(Student("OfClasses", 4, "", cross_entropy));
  cases->push_back(Student("OfSoftmax", 4, "Softmax", cross_entropy));
  cases->push_back(Student("OfSigmoid", 1, "Sigmoid", binary));
  cases->push_back(Student("OfValues", 2, "", squared));
}

}  // namespace topiary
