// Slices of float32 weights across one axis.
#ifndef TOPIARY_WORKER_EXPORT_TENSOR_SLICES_H_
#define TOPIARY_WORKER_EXPORT_TENSOR_SLICES_H_

#include <cstdint>

#include "absl/types/span.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// `tensor`, of any type, with the indices `kept` along `axis` alone, in their order.
Tensor TakeSlices(const Tensor& tensor, int axis, absl::Span<const int64_t> kept);

// Sets the elements at `index` along `axis` to 0.
void ClearSlice(int axis, int64_t index, Tensor* tensor);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_TENSOR_SLICES_H_
