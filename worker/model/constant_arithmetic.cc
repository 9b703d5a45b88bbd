// Add, Sub, Mul, Div, Pow and Cast on constants.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/constant_folding.h"

namespace topiary::fold {
namespace {

// Integers wrap, as ONNX Runtime's do; signed overflow would be undefined in C++.
template <typename T>
absl::Status Apply(char op, T a, T b, T& dst) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    const U ua = static_cast<U>(a);
    const U ub = static_cast<U>(b);
    switch (op) {
      case '+':
        dst = static_cast<T>(ua + ub);
        return absl::OkStatus();
      case '-':
        dst = static_cast<T>(ua - ub);
        return absl::OkStatus();
      case '*':
        dst = static_cast<T>(ua * ub);
        return absl::OkStatus();
      default:
        if (b == 0) return absl::InvalidArgumentError("an integer is divided by zero");
        dst = b == -1 ? static_cast<T>(U{0} - ua) : static_cast<T>(a / b);
        return absl::OkStatus();
    }
  } else {
    dst = op == '+'   ? a + b
          : op == '-' ? a - b
          : op == '*' ? a * b
          : op == '^' ? std::pow(a, b)
                      : a / b;
    return absl::OkStatus();
  }
}

template <typename T>
Result ApplyAll(char op, const Tensor& a, const Tensor& b, const Shape& shape) {
  Tensor dst(DTypeOf<T>(), shape);
  const Shape::Dims a_strides = BroadcastStrides(a.shape(), shape);
  const Shape::Dims b_strides = BroadcastStrides(b.shape(), shape);
  std::vector<int64_t> index(shape.rank(), 0);
  int64_t ai = 0;
  int64_t bi = 0;
  for (T& value : dst.span<T>()) {
    RETURN_IF_ERROR(Apply(op, a.data<T>()[ai], b.data<T>()[bi], value));
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      ai += a_strides[axis];
      bi += b_strides[axis];
      if (++index[axis] < shape[axis]) break;
      ai -= a_strides[axis] * shape[axis];
      bi -= b_strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return dst;
}

template <typename From, typename To>
To Convert(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    return value != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Values that do not fit are undefined in ONNX and in C++: the nearest end, and 0 for NaN.
    // The upper end is compared as 2^digits, which From holds exactly and To's maximum may not.
    if (std::isnan(value)) return To{0};
    if (value >= std::ldexp(From{1}, std::numeric_limits<To>::digits)) {
      return std::numeric_limits<To>::max();
    }
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) {
      return std::numeric_limits<To>::min();
    }
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

template <typename From, typename To>
Tensor CastAll(const Tensor& src) {
  Tensor dst(DTypeOf<To>(), src.shape());
  std::transform(src.data<From>(), src.data<From>() + src.element_count(), dst.data<To>(),
                 Convert<From, To>);
  return dst;
}

template <typename From>
Result CastFrom(const Tensor& src, DType to) {
  switch (to) {
    case DType::kFloat32:
      return CastAll<From, float>(src);
    case DType::kFloat64:
      return CastAll<From, double>(src);
    case DType::kInt64:
      return CastAll<From, int64_t>(src);
    case DType::kInt32:
      return CastAll<From, int32_t>(src);
    case DType::kUint8:
      return CastAll<From, uint8_t>(src);
    case DType::kInt8:
      return CastAll<From, int8_t>(src);
    case DType::kBool:
      return CastAll<From, bool>(src);
    case DType::kFloat16:
    case DType::kBFloat16:
      break;
  }
  return absl::UnimplementedError(absl::StrCat("a cast to ", DTypeName(to), " is not supported"));
}

Result ConvertTo(const Tensor& src, DType type) {
  switch (src.dtype()) {
    case DType::kFloat32:
      return CastFrom<float>(src, type);
    case DType::kFloat64:
      return CastFrom<double>(src, type);
    case DType::kInt64:
      return CastFrom<int64_t>(src, type);
    case DType::kInt32:
      return CastFrom<int32_t>(src, type);
    case DType::kUint8:
      return CastFrom<uint8_t>(src, type);
    case DType::kInt8:
      return CastFrom<int8_t>(src, type);
    case DType::kBool:
      return CastFrom<bool>(src, type);
    default:
      return absl::UnimplementedError(
          absl::StrCat("a cast from ", DTypeName(src.dtype()), " is not supported"));
  }
}

}  // namespace

Result Arithmetic(const OpContext& op, const ValueType& type) {
  const std::string& name = op.node.op_type;
  const char sign = name == "Add" ? '+' : name == "Sub" ? '-' : name == "Mul" ? '*' : '/';
  const Tensor& a = *op.constant(0);
  const Tensor& b = *op.constant(1);
  switch (type.dtype) {
    case DType::kInt64:
      return ApplyAll<int64_t>(sign, a, b, type.shape);
    case DType::kInt32:
      return ApplyAll<int32_t>(sign, a, b, type.shape);
    case DType::kFloat32:
      return ApplyAll<float>(sign, a, b, type.shape);
    case DType::kFloat64:
      return ApplyAll<double>(sign, a, b, type.shape);
    default:
      return absl::UnimplementedError(
          absl::StrCat("arithmetic on ", DTypeName(type.dtype), " is not supported"));
  }
}

Result Pow(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const Tensor exponent, ConvertTo(*op.constant(1), type.dtype));
  switch (type.dtype) {
    case DType::kFloat32:
      return ApplyAll<float>('^', *op.constant(0), exponent, type.shape);
    case DType::kFloat64:
      return ApplyAll<double>('^', *op.constant(0), exponent, type.shape);
    default:
      return absl::UnimplementedError(
          absl::StrCat("a power of ", DTypeName(type.dtype), " is not supported"));
  }
}

Result Cast(const OpContext& op, const ValueType& type) {
  return ConvertTo(*op.constant(0), type.dtype);
}

}  // namespace topiary::fold
