#include "bench/planned_kernel.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace topiary {

absl::StatusOr<PlannedKernel> PlannedKernel::Create(Backend* backend, const OpDescription& op) {
  PlannedKernel planned;
  ASSIGN_OR_RETURN(planned.kernel_, backend->Plan(op));
  std::vector<void*> pointers;
  for (const TensorDescription& operand : planned.kernel_->operands()) {
    ASSIGN_OR_RETURN(Buffer buffer, backend->Allocate(operand.bytes()));
    std::fill_n(static_cast<float*>(buffer.data()), operand.bytes() / sizeof(float), 1.0f);
    pointers.push_back(buffer.data());
    planned.buffers_.push_back(std::move(buffer));
  }
  ASSIGN_OR_RETURN(planned.scratch_, backend->Allocate(planned.kernel_->scratch_bytes()));
  planned.kernel_->Bind(pointers, planned.scratch_.data());
  return planned;
}

}  // namespace topiary
