#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"

namespace topiary {
namespace {

absl::Status EmitBackward(Lowering& l, const FusedNode& fused, const Operation& forward) {
  const FusedAttention& attention = *fused.attention;
  ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Plain()));
  Operation operation{OpKind::kAttentionBackward, forward.parameters, forward.inputs, {}};
  operation.inputs.push_back(Plain(d_dst));
  const std::string* const names[] = {&attention.query, &attention.key, &attention.value};
  for (int i = 0; i < 3; ++i) {
    operation.outputs.push_back(l.tape().Output(*names[i], forward.inputs[i].ref.description));
  }
  ASSIGN_OR_RETURN(const std::vector<TensorRef> gradients, l.emitter().Emit(operation));
  for (int i = 0; i < 3; ++i) RETURN_IF_ERROR(l.tape().Deliver(*names[i], gradients[i]));
  return absl::OkStatus();
}

}  // namespace

absl::Status LowerAttention(Lowering& l, const FusedNode& fused) {
  const FusedAttention& attention = *fused.attention;
  Operation operation{OpKind::kAttention, {}, {}, {}};
  for (const std::string* name : {&attention.query, &attention.key, &attention.value}) {
    ASSIGN_OR_RETURN(const TensorRef ref, l.PlainValue(*name));
    operation.inputs.push_back(Plain(ref));
  }
  AttentionParameters p;
  p.scale = fused.factor;
  p.has_mask = !attention.mask.empty();
  operation.parameters = p;
  if (p.has_mask) {
    const Shape& mask = l.ShapeOf(attention.mask);
    ASSIGN_OR_RETURN(const TensorRef ref, l.PlainValue(attention.mask));
    ASSIGN_OR_RETURN(const TensorRef matrix,
                     l.emitter().View(ref, Shape({mask[mask.rank() - 2], mask[mask.rank() - 1]})));
    operation.inputs.push_back(Plain(matrix));
  }
  operation.outputs = {NewTensor(l.ShapeOf(fused.result), Layout::Plain())};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> dst, l.emitter().Emit(operation));
  l.Finish(fused, dst[0], [&l, fused, operation] { return EmitBackward(l, fused, operation); });
  return absl::OkStatus();
}

}  // namespace topiary
