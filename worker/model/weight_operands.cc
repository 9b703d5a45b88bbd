#include "worker/model/weight_operands.h"

#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/op_params.h"

namespace topiary {

WeightOperands::WeightOperands(const Graph& graph, const InferredGraph& inferred) {
  for (const Initializer& initializer : graph.initializers) {
    ranks_[initializer.name] = initializer.value.shape().rank();
  }
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    if (node.op_type != "Transpose") continue;
    const auto weight = ranks_.find(node.input(0));
    if (weight == ranks_.end() || weight->second != 2) continue;
    const absl::StatusOr<std::vector<int>> permutation = ReadPermutation(node, 2);
    if (permutation.ok() && (*permutation)[0] == 1) transposed_[node.output(0)] = node.input(0);
  }
}

const std::string& WeightOperands::Behind(const std::string& value) const {
  static const auto* const kNone = new std::string;
  const auto transposed = transposed_.find(value);
  if (transposed != transposed_.end()) return transposed->second;
  const auto weight = ranks_.find(value);
  return weight == ranks_.end() ? *kNone : weight->first;
}

absl::optional<WeightOperand> WeightOperands::Of(const Node& node) const {
  const bool convolves = node.op_type == "Conv";
  if (!convolves && node.op_type != "Gemm" && node.op_type != "MatMul") return absl::nullopt;
  WeightOperand operand;
  operand.weight = Behind(node.input(1));
  const auto rank = ranks_.find(operand.weight);
  if (rank == ranks_.end()) return absl::nullopt;
  bool transposed = IsTransposition(node.input(1));
  if (convolves) {
    if (transposed) return absl::nullopt;
    transposed = true;  // Stored [out][in].
  } else if (rank->second != 2) {
    return absl::nullopt;
  }
  if (node.op_type == "Gemm") {
    const absl::StatusOr<GemmParams> params = ReadGemm(node);
    if (!params.ok()) return absl::nullopt;
    transposed = transposed != params->trans_b;
  }
  operand.in_axis = transposed ? 1 : 0;
  operand.out_axis = transposed ? 0 : 1;
  return operand;
}

}  // namespace topiary
