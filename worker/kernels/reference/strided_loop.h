// Walks a shape in row-major order with offsets into operands of other strides.
#ifndef TOPIARY_WORKER_KERNELS_REFERENCE_STRIDED_LOOP_H_
#define TOPIARY_WORKER_KERNELS_REFERENCE_STRIDED_LOOP_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/tensor/shape.h"

namespace topiary {
namespace reference {

// Calls visit(index, offsets) for every element of `shape`; `index` counts from 0 and offsets[i]
// follows strides[i], which has one entry per axis.
template <size_t N, typename Visit>
void ForEachElement(const Shape& shape, const std::array<Shape::Dims, N>& strides, Visit visit) {
  const int64_t count = shape.element_count();
  Shape::Dims coordinate(shape.rank(), 0);
  std::array<int64_t, N> offsets{};
  for (int64_t index = 0; index < count; ++index) {
    visit(index, offsets);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      ++coordinate[axis];
      for (size_t i = 0; i < N; ++i) offsets[i] += strides[i][axis];
      if (coordinate[axis] < shape[axis]) break;
      coordinate[axis] = 0;
      for (size_t i = 0; i < N; ++i) offsets[i] -= strides[i][axis] * shape[axis];
    }
  }
}

}  // namespace reference
}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_REFERENCE_STRIDED_LOOP_H_
