// The rules that op_schema.cc lists: result types of each operator.
// Signature and duties: OpSchema::TypeRule.
#ifndef TOPIARY_WORKER_MODEL_TYPE_RULES_H_
#define TOPIARY_WORKER_MODEL_TYPE_RULES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/op_schema.h"
#include "worker/model/value_type.h"

namespace topiary::type_rules {

using Result = absl::StatusOr<std::vector<ValueType>>;

// type_rules_math.cc
Result SameAsFirst(const OpContext& op);  // Relu and other maps of one operand.
Result Broadcast(const OpContext& op);    // Add, Sub, Mul, Div.
Result Clip(const OpContext& op);
Result Gemm(const OpContext& op);
Result MatMul(const OpContext& op);
Result Conv(const OpContext& op);
Result Pool(const OpContext& op);
Result GlobalPool(const OpContext& op);
Result BatchNorm(const OpContext& op);
Result LayerNorm(const OpContext& op);
Result LeakyRelu(const OpContext& op);
Result Gelu(const OpContext& op);
Result SoftmaxLike(const OpContext& op);
Result Dropout(const OpContext& op);

// type_rules_layout.cc
Result Flatten(const OpContext& op);
Result Reshape(const OpContext& op);
Result Transpose(const OpContext& op);
Result Squeeze(const OpContext& op);
Result Unsqueeze(const OpContext& op);
Result Concat(const OpContext& op);
Result Cast(const OpContext& op);
Result Gather(const OpContext& op);

// type_rules_constant.cc: operators that are only ever folded.
Result Constant(const OpContext& op);
Result ConstantOfShape(const OpContext& op);
Result ShapeOf(const OpContext& op);
Result Slice(const OpContext& op);
Result Range(const OpContext& op);
Result Pow(const OpContext& op);
Result Trilu(const OpContext& op);

}  // namespace topiary::type_rules

#endif  // TOPIARY_WORKER_MODEL_TYPE_RULES_H_
