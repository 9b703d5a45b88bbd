// A dense tensor that owns its memory.
#ifndef TOPIARY_WORKER_TENSOR_TENSOR_H_
#define TOPIARY_WORKER_TENSOR_TENSOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/check.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {

// Elements in plain row-major order in one block of memory aligned to 64
// bytes and rounded up to a multiple of 64 bytes (the padding is zero), so
// that vector code may read whole cache lines. Layouts of a backend never
// appear here.
//
// Movable; copied only by Clone(), because a copy is expensive. Thread-
// compatible: concurrent reads are fine. Constructors CHECK-fail where the
// size overflows: check extents that come from a file with
// Shape::CheckedElementCount() first.
class Tensor {
 public:
  // An empty float32 tensor of shape [0].
  Tensor();
  // All elements zero.
  Tensor(DType dtype, const Shape& shape);

  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  static Tensor Zeros(DType dtype, const Shape& shape) { return Tensor(dtype, shape); }

  // A tensor of `values` in row-major order; their number must be the shape's.
  template <typename T>
  static Tensor FromVector(const Shape& shape, const std::vector<T>& values);

  template <typename T>
  static Tensor Scalar(T value) {
    return FromVector<T>(Shape(), std::vector<T>{value});
  }

  Tensor Clone() const;

  // The same elements under another shape of equal element count.
  Tensor Reshaped(const Shape& shape) &&;

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t element_count() const { return element_count_; }
  // Bytes of the elements, without padding.
  size_t byte_size() const { return static_cast<size_t>(element_count_) * SizeOf(dtype_); }

  // The elements as T, which must be the C++ type of dtype().
  template <typename T>
  T* data() {
    CHECK(DTypeOf<T>() == dtype_) << "tensor holds " << DTypeName(dtype_);
    return static_cast<T*>(raw_data());
  }
  template <typename T>
  const T* data() const {
    CHECK(DTypeOf<T>() == dtype_) << "tensor holds " << DTypeName(dtype_);
    return static_cast<const T*>(raw_data());
  }
  template <typename T>
  absl::Span<T> span() {
    return absl::Span<T>(data<T>(), static_cast<size_t>(element_count_));
  }
  template <typename T>
  absl::Span<const T> span() const {
    return absl::Span<const T>(data<T>(), static_cast<size_t>(element_count_));
  }

  // CHECK-fails after DropElements().
  void* raw_data() {
    CHECK(has_elements()) << "the elements of a tensor were dropped";
    return memory_.get();
  }
  const void* raw_data() const { return const_cast<Tensor*>(this)->raw_data(); }

  // Frees the memory and leaves dtype and shape: for a weight of which something else has the
  // values.
  void DropElements() { memory_.reset(); }
  bool has_elements() const { return memory_ != nullptr; }

 private:
  struct Free {
    void operator()(void* p) const;
  };

  DType dtype_ = DType::kFloat32;
  Shape shape_;
  int64_t element_count_ = 0;
  std::unique_ptr<void, Free> memory_;
};

// Same dtype, shape and bytes. -0.0 differs from 0.0, and a NaN equals itself.
bool BitwiseEqual(const Tensor& a, const Tensor& b);

template <typename T>
Tensor Tensor::FromVector(const Shape& shape, const std::vector<T>& values) {
  Tensor tensor(DTypeOf<T>(), shape);
  CHECK_EQ(tensor.element_count(), static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), tensor.data<T>());
  return tensor;
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_TENSOR_TENSOR_H_
