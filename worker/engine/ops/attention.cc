#include <utility>

#include "absl/status/status.h"
#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"

namespace topiary {

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
  l.Finish(fused, dst[0], [] {
    return absl::InternalError("attention was fused in a program that is differentiated");
  });
  return absl::OkStatus();
}

}  // namespace topiary
