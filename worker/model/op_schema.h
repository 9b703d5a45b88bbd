// The table of operators: which are supported, how many operands they take,
// the rule for their result's type, and how they are computed on constants.
// The engine has a table of its own, by the same op_type, for what runs.
#ifndef TOPIARY_WORKER_MODEL_OP_SCHEMA_H_
#define TOPIARY_WORKER_MODEL_OP_SCHEMA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/model/graph.h"
#include "worker/model/value_type.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// A computed constant may have this many elements, so that a few bytes of a
// hostile file cannot fill the memory.
inline constexpr int64_t kMaxFoldedElements = int64_t{1} << 24;

// One node with what is known about its operands. Does not own.
struct OpContext {
  const Node& node;
  // One entry per Node::inputs; null where an optional operand is left out.
  std::vector<const ValueType*> types;
  // One entry per Node::inputs; null where the value is not known before a batch runs.
  std::vector<const Tensor*> constants;

  bool has(size_t i) const { return i < types.size() && types[i] != nullptr; }
  const Shape& shape(size_t i) const { return types[i]->shape; }
  DType dtype(size_t i) const { return types[i]->dtype; }
  // Null also where the operand is left out.
  const Tensor* constant(size_t i) const { return i < constants.size() ? constants[i] : nullptr; }
};

struct OpSchema {
  // The types of the results, one per output the operator can have (a node may name
  // fewer). Operand counts were checked; operands below `min_inputs` are there.
  using TypeRule = absl::StatusOr<std::vector<ValueType>> (*)(const OpContext&);
  // The first result, when every operand is constant. `type` is what TypeRule gave.
  using FoldRule = absl::StatusOr<Tensor> (*)(const OpContext&, const ValueType& type);

  absl::string_view op_type;
  size_t min_inputs;
  size_t max_inputs;
  size_t max_outputs;
  TypeRule type;
  FoldRule fold;  // Null: never computed on constants.
  // True: can run on a batch. False: supported only where it can be folded.
  bool runs;
  // Bit i: operand i configures the node and must be constant (a shape, axes, a bound).
  uint32_t configuration = 0;
  // Bit i: operand i is a running statistic, not a parameter.
  uint32_t statistics = 0;

  bool configures(size_t i) const { return i < 32 && (configuration >> i & 1) != 0; }
  bool is_statistic(size_t i) const { return i < 32 && (statistics >> i & 1) != 0; }
};

// Null if `op_type` is not supported.
const OpSchema* FindOpSchema(absl::string_view op_type);

// All operators, in the order of their names.
absl::Span<const OpSchema> OpSchemas();

// "Add, AveragePool, ...": all of them, for error messages and documentation.
std::string SupportedOperators();

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_OP_SCHEMA_H_
