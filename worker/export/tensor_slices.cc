#include "worker/export/tensor_slices.h"

#include <algorithm>
#include <cstring>

namespace topiary {

Tensor TakeSlices(const Tensor& tensor, int axis, absl::Span<const int64_t> kept) {
  const auto width = static_cast<int64_t>(kept.size());
  Tensor narrow(tensor.dtype(), tensor.shape().WithDim(axis, width));
  const size_t chunk = tensor.shape().Strides()[axis] * SizeOf(tensor.dtype());
  const int64_t extent = tensor.shape()[axis];
  int64_t outer = 1;
  for (int before = 0; before < axis; ++before) outer *= tensor.shape()[before];
  const char* from = static_cast<const char*>(tensor.raw_data());
  char* to = static_cast<char*>(narrow.raw_data());
  for (int64_t o = 0; o < outer; ++o) {
    for (const int64_t i : kept) {
      std::memcpy(to, from + static_cast<size_t>(o * extent + i) * chunk, chunk);
      to += chunk;
    }
  }
  return narrow;
}

void ClearSlice(int axis, int64_t index, Tensor* tensor) {
  const int64_t inner = tensor->shape().Strides()[axis];
  const int64_t step = tensor->shape()[axis] * inner;
  for (int64_t at = index * inner; at < tensor->element_count(); at += step) {
    std::fill_n(tensor->data<float>() + at, inner, 0.0F);
  }
}

}  // namespace topiary
