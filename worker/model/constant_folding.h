// Computes operators on constants: the shape arithmetic that exporters write
// (Shape -> Gather -> Concat -> Reshape) and literals. Rules of op_schema.cc.
//
// Fold rules are called after the type rule of the same node, so operands are
// there, constant, and fit; `type` is the result's. What is left to check are
// values: INVALID_ARGUMENT for an index out of range or a division by zero.
#ifndef TOPIARY_WORKER_MODEL_CONSTANT_FOLDING_H_
#define TOPIARY_WORKER_MODEL_CONSTANT_FOLDING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"
#include "worker/model/op_schema.h"
#include "worker/model/value_type.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// The value of a Constant node, in whichever of its attributes it lies.
absl::StatusOr<std::shared_ptr<const Tensor>> ConstantNodeValue(const Node& node);

// The axes that Shape reports: [start, end) within [0, rank).
struct ShapeRange {
  int64_t start;
  int64_t end;
};
absl::StatusOr<ShapeRange> ReadShapeRange(const Node& node, int rank);

// What Slice takes of one axis: `count` elements from `start`, `step` apart.
struct AxisSlice {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};
// One entry per axis of the first operand.
absl::StatusOr<std::vector<AxisSlice>> ReadSlices(const OpContext& op);

namespace fold {

using Result = absl::StatusOr<Tensor>;

// constant_folding.cc
Result Constant(const OpContext& op, const ValueType& type);
Result ConstantOfShape(const OpContext& op, const ValueType& type);
Result ShapeOf(const OpContext& op, const ValueType& type);
Result Range(const OpContext& op, const ValueType& type);
Result Reshaped(const OpContext& op, const ValueType& type);  // Identity, Reshape, Squeeze, ...
Result Transpose(const OpContext& op, const ValueType& type);
Result Slice(const OpContext& op, const ValueType& type);
Result Gather(const OpContext& op, const ValueType& type);
Result Concat(const OpContext& op, const ValueType& type);
Result Trilu(const OpContext& op, const ValueType& type);

// constant_arithmetic.cc
Result Arithmetic(const OpContext& op, const ValueType& type);  // Add, Sub, Mul, Div.
Result Pow(const OpContext& op, const ValueType& type);
Result Cast(const OpContext& op, const ValueType& type);

}  // namespace fold
}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_CONSTANT_FOLDING_H_
