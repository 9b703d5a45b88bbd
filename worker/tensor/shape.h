// The extents of a dense, row-major tensor.
#ifndef TOPIARY_WORKER_TENSOR_SHAPE_H_
#define TOPIARY_WORKER_TENSOR_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace topiary {

// Extents, outermost first. Rank 0 is a scalar of one element. Extents are
// >= 0; an extent of 0 is legal and makes an empty tensor.
// A value type; thread-compatible.
class Shape {
 public:
  using Dims = absl::InlinedVector<int64_t, 6>;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(absl::Span<const int64_t> dims) : dims_(dims.begin(), dims.end()) {}

  int rank() const { return static_cast<int>(dims_.size()); }
  const Dims& dims() const { return dims_; }

  // Extent of `axis`, which must be in [0, rank).
  int64_t dim(int axis) const { return dims_[axis]; }
  int64_t operator[](int axis) const { return dims_[axis]; }

  // Product of the extents. CHECK-fails where it does not fit in 63 bits or an
  // extent is negative: use CheckedElementCount() on extents from a file.
  int64_t element_count() const;

  // As element_count(); INVALID_ARGUMENT for a negative extent or a product of
  // the extents that are not 0 above `limit`: no product of some of them can
  // then overflow.
  absl::StatusOr<int64_t> CheckedElementCount(int64_t limit = INT64_MAX) const;

  // Row-major strides in elements; the last is 1.
  Dims Strides() const;

  // Copy with `axis` set to `extent`; `axis` must be in [0, rank).
  Shape WithDim(int axis, int64_t extent) const;

  // "[2,3,4]"; "[]" for a scalar.
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) { return a.dims_ == b.dims_; }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.ToString();
  }

 private:
  Dims dims_;
};

// The shape of an element-wise result under NumPy's and ONNX's rule: shapes
// are aligned at their last axis, and an extent of 1 stretches to the other.
// INVALID_ARGUMENT, naming both shapes, where two extents differ and none is 1.
absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b);

// Strides in elements that read `from` as if it had shape `to`: 0 along the
// axes that are stretched. `from` must broadcast to `to`; the result has
// to.rank() entries.
Shape::Dims BroadcastStrides(const Shape& from, const Shape& to);

}  // namespace topiary

#endif  // TOPIARY_WORKER_TENSOR_SHAPE_H_
