// Element types of tensors.
//
// float32 is the only type that training computes in. The integer types carry
// labels, ids and shape arithmetic. float16 and bfloat16 are named so that an
// error can say what a file contains; no arithmetic on them exists here.
#ifndef TOPIARY_WORKER_TENSOR_DTYPE_H_
#define TOPIARY_WORKER_TENSOR_DTYPE_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace topiary {

enum class DType : uint8_t {
  kFloat32,
  kFloat64,
  kInt64,
  kInt32,
  kUint8,
  kInt8,
  kBool,
  kFloat16,
  kBFloat16,
};

// Bytes of one element.
size_t SizeOf(DType dtype);

// "float32", "int64" and so on, as NumPy writes them.
absl::string_view DTypeName(DType dtype);

// The DType that stores C++ type T; defined for float, double, int64_t,
// int32_t, uint8_t, int8_t and bool.
template <typename T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kFloat64;
}
template <>
constexpr DType DTypeOf<int64_t>() {
  return DType::kInt64;
}
template <>
constexpr DType DTypeOf<int32_t>() {
  return DType::kInt32;
}
template <>
constexpr DType DTypeOf<uint8_t>() {
  return DType::kUint8;
}
template <>
constexpr DType DTypeOf<int8_t>() {
  return DType::kInt8;
}
template <>
constexpr DType DTypeOf<bool>() {
  return DType::kBool;
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_TENSOR_DTYPE_H_
