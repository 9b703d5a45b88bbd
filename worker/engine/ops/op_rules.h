// The table of operators that run on a batch: how each becomes forward steps and how
// it is differentiated. A new operator is one function in the file of its family and one line in
// op_rules.cc (its shapes and its checks are in worker/model/op_schema.h).
#ifndef TOPIARY_WORKER_ENGINE_OPS_OP_RULES_H_
#define TOPIARY_WORKER_ENGINE_OPS_OP_RULES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/engine/lowering.h"

namespace topiary {

// Emits the forward steps of `fused` and ends with Lowering::Finish(), which takes the function
// that will emit the backward steps. Called in the order of the graph; operands are defined. Shapes
// and attributes were checked by shape inference.
using OpRule = absl::Status (*)(Lowering& lowering, const FusedNode& fused);

// Null if `op_type` cannot run on a batch.
OpRule FindOpRule(absl::string_view op_type);

// ops/attention.cc; of nodes that were recognized as attention.
absl::Status LowerAttention(Lowering& lowering, const FusedNode& fused);
// ops/matrix_product.cc
absl::Status LowerGemm(Lowering& lowering, const FusedNode& fused);
absl::Status LowerMatMul(Lowering& lowering, const FusedNode& fused);
// ops/convolution.cc
absl::Status LowerConv(Lowering& lowering, const FusedNode& fused);
// ops/batch_norm.cc
absl::Status LowerBatchNormalization(Lowering& lowering, const FusedNode& fused);
// ops/layer_norm.cc
absl::Status LowerLayerNormalization(Lowering& lowering, const FusedNode& fused);
// ops/pool.cc
absl::Status LowerPool(Lowering& lowering, const FusedNode& fused);
absl::Status LowerGlobalAveragePool(Lowering& lowering, const FusedNode& fused);
// ops/unary.cc
absl::Status LowerUnary(Lowering& lowering, const FusedNode& fused);
absl::Status LowerDropout(Lowering& lowering, const FusedNode& fused);
absl::Status LowerSoftmax(Lowering& lowering, const FusedNode& fused);
// ops/binary.cc
absl::Status LowerBinary(Lowering& lowering, const FusedNode& fused);
// ops/data_movement.cc
absl::Status LowerView(Lowering& lowering, const FusedNode& fused);
absl::Status LowerTranspose(Lowering& lowering, const FusedNode& fused);
absl::Status LowerConcat(Lowering& lowering, const FusedNode& fused);
absl::Status LowerGather(Lowering& lowering, const FusedNode& fused);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_OPS_OP_RULES_H_
