#include "worker/tensor/tensor.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace topiary {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

Tensor::Tensor() : Tensor(DType::kFloat32, Shape({0})) {}

Tensor::Tensor(DType dtype, const Shape& shape)
    : dtype_(dtype), shape_(shape), element_count_(shape.element_count()) {
  CHECK(static_cast<uint64_t>(element_count_) <= (SIZE_MAX - kAlignment) / SizeOf(dtype))
      << "shape " << shape.ToString();
  const size_t bytes =
      std::max(kAlignment, (byte_size() + kAlignment - 1) / kAlignment * kAlignment);
  memory_.reset(std::aligned_alloc(kAlignment, bytes));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(memory_.get(), 0, bytes);
}

void Tensor::Free::operator()(void* p) const { std::free(p); }

Tensor Tensor::Clone() const {
  Tensor copy(dtype_, has_elements() ? shape_ : Shape({0}));
  if (has_elements()) {
    std::memcpy(copy.raw_data(), raw_data(), byte_size());
    return copy;
  }
  copy.DropElements();
  copy.shape_ = shape_;
  copy.element_count_ = element_count_;
  return copy;
}

Tensor Tensor::Reshaped(const Shape& shape) && {
  CHECK_EQ(shape.element_count(), element_count_);
  shape_ = shape;
  return std::move(*this);
}

bool BitwiseEqual(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.raw_data(), b.raw_data(), a.byte_size()) == 0;
}

}  // namespace topiary
