#include "worker/model/batch_independence.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Follows the values that depend on data, each of which must have the batch as its first axis.
class Checker {
 public:
  Checker(const Graph& graph, const InferredBatch& whole, const InferredBatch& part)
      : graph_(graph),
        inferred_(whole.inferred),
        batch_(whole.batch),
        part_(part.inferred),
        part_batch_(part.batch) {}

  bool Run() {
    if (part_.live_nodes != inferred_.live_nodes) return false;
    for (const ValueInfo& input : graph_.inputs) {
      if (!HasBatchFirst(input.name)) return false;
      of_examples_.insert(input.name);
    }
    for (const int index : inferred_.live_nodes) {
      const Node& node = graph_.nodes[index];
      if (!OperandsAreKnown(node) || !ConstantsAreThoseOfAPart(node)) return false;
      if (IsOfWeightsAlone(node)) {
        if (part_.values.at(node.output(0)).shape != ShapeOf(node.output(0))) return false;
        of_weights_.insert(node.output(0));
        continue;
      }
      if (!KeepsExamplesApart(node) || !HasBatchFirst(node.output(0))) return false;
      of_examples_.insert(node.output(0));
    }
    return std::all_of(graph_.outputs.begin(), graph_.outputs.end(),
                       [this](const auto& output) { return of_examples_.count(output.name) > 0; });
  }

 private:
  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }
  bool HasBatchFirst(const std::string& name) const {
    const auto value = inferred_.values.find(name), of_part = part_.values.find(name);
    return value != inferred_.values.end() && value->second.shape.rank() > 0 &&
           value->second.shape[0] == batch_ && of_part != part_.values.end() &&
           of_part->second.shape == value->second.shape.WithDim(0, part_batch_);
  }

  // What was computed from shapes may depend on the size of the batch. The target of a Reshape may:
  // its result shows whether it is right.
  bool ConstantsAreThoseOfAPart(const Node& node) const {
    if (node.op_type == "Reshape") return true;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [this](const std::string& name) {
      const auto whole = inferred_.constants.find(name), part = part_.constants.find(name);
      if (whole == inferred_.constants.end()) return part == part_.constants.end();
      if (part == part_.constants.end()) return false;
      const Tensor &a = whole->second, &b = part->second;
      return a.dtype() == b.dtype() && a.shape() == b.shape() &&
             (a.byte_size() == 0 || std::memcmp(a.raw_data(), b.raw_data(), a.byte_size()) == 0);
    });
  }

  // Operand i is there and belongs to the examples; or it is the same for all of them.
  bool IsOfExamples(const Node& node, size_t i) const {
    return i < node.inputs.size() && of_examples_.count(node.input(i)) > 0;
  }
  bool IsShared(const Node& node, size_t i) const { return !IsOfExamples(node, i); }
  bool AreSharedFrom(const Node& node, size_t first) const {
    for (size_t i = first; i < node.inputs.size(); ++i) {
      if (!IsShared(node, i)) return false;
    }
    return true;
  }

  // Of operands that are broadcast: each lies along the examples of the result, or is the same for
  // all of them.
  bool BroadcastsAlongExamples(const Node& node, size_t i) const {
    if (i >= node.inputs.size() || node.input(i).empty()) return true;
    const Shape& operand = ShapeOf(node.input(i));
    const int rank = ShapeOf(node.output(0)).rank();
    if (IsOfExamples(node, i)) return operand.rank() == rank;
    return operand.rank() < rank || operand[0] == 1;
  }

  bool MultipliesExamplesApart(const Node& node) const {
    const Shape& a = ShapeOf(node.input(0));
    const Shape& b = ShapeOf(node.input(1));
    // Rows of one matrix, or a stack of matrices for each example.
    if (IsOfExamples(node, 0) && IsShared(node, 1) && b.rank() == 2) return a.rank() >= 2;
    return ShapeOf(node.output(0)).rank() >= 3 && a.rank() >= 2 && b.rank() >= 2 &&
           BroadcastsAlongExamples(node, 0) && BroadcastsAlongExamples(node, 1) &&
           (IsShared(node, 0) || a.rank() >= 3) && (IsShared(node, 1) || b.rank() >= 3);
  }

  bool GathersExamplesApart(const Node& node) const {
    const auto axis = ReadAxis(node, ShapeOf(node.input(0)).rank());
    if (!axis.ok()) return false;
    if (IsShared(node, 0)) return *axis == 0;  // Rows of a table.
    return *axis > 0 && IsShared(node, 1);
  }

  bool HasAxisBeyondTheBatch(const Node& node) const {
    const auto axis = ReadAxis(node, ShapeOf(node.input(0)).rank());
    return axis.ok() && *axis > 0;
  }

  // Nothing but the examples, and what does not depend on them.
  bool OperandsAreKnown(const Node& node) const {
    return std::all_of(node.inputs.begin(), node.inputs.end(), [this](const std::string& name) {
      return name.empty() || of_examples_.count(name) > 0 || of_weights_.count(name) > 0 ||
             ConstantValue(graph_, inferred_, name) != nullptr;
    });
  }

  bool IsOfWeightsAlone(const Node& node) const {
    return std::none_of(node.inputs.begin(), node.inputs.end(),
                        [this](const std::string& name) { return of_examples_.count(name) > 0; });
  }

  bool KeepsExamplesApart(const Node& node) const {
    const absl::string_view op = node.op_type;
    static const std::set<absl::string_view> kOfOneOperand = {"AveragePool",
                                                              "BatchNormalization",
                                                              "Cast",
                                                              "Clip",
                                                              "Conv",
                                                              "Dropout",
                                                              "Erf",
                                                              "Flatten",
                                                              "Gelu",
                                                              "Identity",
                                                              "LeakyRelu",
                                                              "MaxPool",
                                                              "GlobalAveragePool",
                                                              "Relu",
                                                              "Reshape",
                                                              "Sigmoid",
                                                              "Squeeze",
                                                              "Tanh",
                                                              "Unsqueeze"};
    if (kOfOneOperand.count(op) > 0) return IsOfExamples(node, 0) && AreSharedFrom(node, 1);
    if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div") {
      return BroadcastsAlongExamples(node, 0) && BroadcastsAlongExamples(node, 1);
    }
    if (op == "MatMul") return MultipliesExamplesApart(node);
    if (op == "Gather") return GathersExamplesApart(node);
    if (op == "Gemm") {
      const auto params = ReadGemm(node);
      return params.ok() && !params->trans_a && IsOfExamples(node, 0) && IsShared(node, 1) &&
             BroadcastsAlongExamples(node, 2);
    }
    if (op == "LayerNormalization") {
      const auto params = ReadLayerNorm(node, ShapeOf(node.input(0)).rank());
      return params.ok() && params->axis > 0 && IsOfExamples(node, 0) && AreSharedFrom(node, 1);
    }
    if (op == "Softmax" || op == "LogSoftmax") {
      return IsOfExamples(node, 0) && HasAxisBeyondTheBatch(node);
    }
    if (op == "Concat") {
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (!IsOfExamples(node, i)) return false;
      }
      return HasAxisBeyondTheBatch(node);
    }
    if (op == "Transpose") {
      const auto permutation = ReadPermutation(node, ShapeOf(node.input(0)).rank());
      return permutation.ok() && IsOfExamples(node, 0) && (*permutation)[0] == 0;
    }
    return false;
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  const int64_t batch_;
  const InferredGraph& part_;
  const int64_t part_batch_;
  std::set<std::string> of_examples_;
  std::set<std::string> of_weights_;  // What is computed from weights alone.
};

}  // namespace

bool ExamplesAreIndependent(const Graph& graph, const InferredBatch& whole,
                            const InferredBatch& part) {
  return whole.batch >= 2 && Checker(graph, whole, part).Run();
}

}  // namespace topiary
