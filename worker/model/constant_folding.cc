#include "worker/model/constant_folding.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

template <typename T>
std::shared_ptr<const Tensor> ListTensor(const std::vector<T>& values) {
  return std::make_shared<const Tensor>(
      Tensor::FromVector(Shape({static_cast<int64_t>(values.size())}), values));
}

// Writes dst element (i0, i1, ...) from src element `offset` + sum of i * strides.
void StridedCopy(const Tensor& src, int64_t offset, const Shape::Dims& strides, Tensor& dst) {
  const size_t size = SizeOf(src.dtype());
  const char* from = static_cast<const char*>(src.raw_data());
  char* to = static_cast<char*>(dst.raw_data());
  const Shape& shape = dst.shape();
  std::vector<int64_t> index(shape.rank(), 0);
  for (int64_t n = dst.element_count(); n > 0; --n, to += size) {
    std::memcpy(to, from + offset * static_cast<int64_t>(size), size);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

// ONNX clamps the bounds of a slice into the axis; which end is reachable depends on the direction.
AxisSlice ClampSlice(int64_t start, int64_t end, int64_t step, int64_t extent) {
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? extent : extent - 1;
  // Adding to a bound far below zero is safe: extents are below 2^62.
  if (start < 0) start = std::max<int64_t>(start, -extent - 1) + extent;
  if (end < 0) end = std::max<int64_t>(end, -extent - 1) + extent;
  AxisSlice slice;
  slice.start = std::clamp<int64_t>(start, step > 0 ? 0 : std::min<int64_t>(0, high), high);
  slice.step = step;
  end = std::clamp(end, low, high);
  const int64_t distance = step > 0 ? end - slice.start : slice.start - end;
  const int64_t stride = step > 0 ? step : -step;
  slice.count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  return slice;
}

absl::StatusOr<std::vector<int64_t>> SliceOperand(const OpContext& op, size_t operand, size_t count,
                                                  int64_t fallback, bool ascending) {
  std::vector<int64_t> values(count, fallback);
  if (op.constant(operand) != nullptr) {
    ASSIGN_OR_RETURN(values, IntegerValues(*op.constant(operand)));
  } else if (ascending) {
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<int64_t>(i);
  }
  if (values.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("operand ", operand, " has ", values.size(),
                                                   " entries, but there are ", count, " starts"));
  }
  return values;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Tensor>> ConstantNodeValue(const Node& node) {
  if (node.attributes.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("exactly one attribute is needed, not ", node.attributes.size()));
  }
  const Attribute& attribute = node.attributes[0];
  const auto& value = attribute.value;
  if (attribute.name == "value") {
    if (const auto* v = std::get_if<std::shared_ptr<const Tensor>>(&value)) return *v;
  } else if (attribute.name == "value_int") {
    if (const auto* v = std::get_if<int64_t>(&value)) {
      return std::make_shared<const Tensor>(Tensor::Scalar(*v));
    }
  } else if (attribute.name == "value_float") {
    if (const auto* v = std::get_if<float>(&value)) {
      return std::make_shared<const Tensor>(Tensor::Scalar(*v));
    }
  } else if (attribute.name == "value_ints") {
    if (const auto* v = std::get_if<std::vector<int64_t>>(&value)) return ListTensor(*v);
  } else if (attribute.name == "value_floats") {
    if (const auto* v = std::get_if<std::vector<float>>(&value)) return ListTensor(*v);
  } else {
    return absl::UnimplementedError(
        absl::StrCat("attribute '", attribute.name,
                     "' is not supported; supported are value, value_int, value_ints, value_float "
                     "and value_floats"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("attribute '", attribute.name, "' is not of the type its name says"));
}

absl::StatusOr<ShapeRange> ReadShapeRange(const Node& node, int rank) {
  ASSIGN_OR_RETURN(int64_t start, IntAttribute(node, "start", 0));
  ASSIGN_OR_RETURN(int64_t end, IntAttribute(node, "end", rank));
  const auto settle = [rank](int64_t v) {
    if (v < 0) v = std::max<int64_t>(v, -rank) + rank;
    return std::min<int64_t>(v, rank);
  };
  start = settle(start);
  end = settle(end);
  return ShapeRange{start, std::max(start, end)};
}

absl::StatusOr<std::vector<AxisSlice>> ReadSlices(const OpContext& op) {
  const Shape& shape = op.shape(0);
  std::vector<AxisSlice> slices(shape.rank());
  for (int i = 0; i < shape.rank(); ++i) slices[i].count = shape[i];
  ASSIGN_OR_RETURN(const std::vector<int64_t> starts, IntegerValues(*op.constant(1)));
  const size_t count = starts.size();
  ASSIGN_OR_RETURN(const std::vector<int64_t> ends, SliceOperand(op, 2, count, 0, false));
  ASSIGN_OR_RETURN(const std::vector<int64_t> raw_axes, SliceOperand(op, 3, count, 0, true));
  ASSIGN_OR_RETURN(const std::vector<int64_t> steps, SliceOperand(op, 4, count, 1, false));
  RETURN_IF_ERROR(NormalizeAxes(raw_axes, shape.rank()).status());
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw_axes[i], shape.rank()));
    if (steps[i] == 0 || steps[i] == INT64_MIN) {
      return absl::InvalidArgumentError(absl::StrCat("step ", steps[i], " is not possible"));
    }
    slices[axis] = ClampSlice(starts[i], ends[i], steps[i], shape[axis]);
  }
  return slices;
}

namespace fold {

Result Constant(const OpContext& op, const ValueType&) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Tensor> value, ConstantNodeValue(op.node));
  return value->Clone();
}

Result ConstantOfShape(const OpContext& op, const ValueType& type) {
  Tensor dst(type.dtype, type.shape);
  const Attribute* value = op.node.FindAttribute("value");
  if (value == nullptr) return dst;
  const Tensor& element = *std::get<std::shared_ptr<const Tensor>>(value->value);
  StridedCopy(element, 0, Shape::Dims(type.shape.rank(), 0), dst);
  return dst;
}

Result ShapeOf(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const ShapeRange range, ReadShapeRange(op.node, op.shape(0).rank()));
  Tensor dst(type.dtype, type.shape);
  for (int64_t i = range.start; i < range.end; ++i) {
    dst.data<int64_t>()[i - range.start] = op.shape(0)[static_cast<int>(i)];
  }
  return dst;
}

Result Range(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> start, IntegerValues(*op.constant(0)));
  ASSIGN_OR_RETURN(const std::vector<int64_t> delta, IntegerValues(*op.constant(2)));
  Tensor dst(type.dtype, type.shape);
  int64_t next = start[0];
  for (int64_t& v : dst.span<int64_t>()) {
    v = next;
    next += delta[0];
  }
  return dst;
}

Result Reshaped(const OpContext& op, const ValueType& type) {
  return op.constant(0)->Clone().Reshaped(type.shape);
}

Result Transpose(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const std::vector<int> perm, ReadPermutation(op.node, op.shape(0).rank()));
  const Shape::Dims own = op.shape(0).Strides();
  Shape::Dims strides;
  for (int axis : perm) strides.push_back(own[axis]);
  Tensor dst(type.dtype, type.shape);
  StridedCopy(*op.constant(0), 0, strides, dst);
  return dst;
}

Result Slice(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const std::vector<AxisSlice> slices, ReadSlices(op));
  Shape::Dims strides = op.shape(0).Strides();
  Tensor dst(type.dtype, type.shape);
  if (dst.element_count() == 0) return dst;
  int64_t offset = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    offset += slices[i].start * strides[i];
    // A step longer than the axis is never taken; without it the product cannot overflow.
    strides[i] *= slices[i].count == 1 ? 0 : slices[i].step;
  }
  StridedCopy(*op.constant(0), offset, strides, dst);
  return dst;
}

Result Gather(const OpContext& op, const ValueType& type) {
  const Tensor& data = *op.constant(0);
  ASSIGN_OR_RETURN(const int axis, ReadAxis(op.node, data.shape().rank()));
  const int64_t indices_count = op.constant(1)->element_count();
  ASSIGN_OR_RETURN(const std::vector<int64_t> indices,
                   IntegerValues(op.constant(1)->Clone().Reshaped(Shape({indices_count}))));
  const int64_t extent = data.shape()[axis];
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= data.shape()[i];
  const int64_t slice = data.shape().Strides()[axis] * static_cast<int64_t>(SizeOf(data.dtype()));
  Tensor dst(type.dtype, type.shape);
  char* to = static_cast<char*>(dst.raw_data());
  const char* from = static_cast<const char*>(data.raw_data());
  for (int64_t o = 0; o < outer; ++o, from += extent * slice) {
    for (int64_t index : indices) {
      if (index < -extent || index >= extent) {
        return absl::InvalidArgumentError(absl::StrCat("index ", index, " is outside axis ", axis,
                                                       " of ", data.shape().ToString()));
      }
      std::memcpy(to, from + (index < 0 ? index + extent : index) * slice, slice);
      to += slice;
    }
  }
  return dst;
}

Result Concat(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const int axis, ReadAxis(op.node, type.shape.rank()));
  Tensor dst(type.dtype, type.shape);
  char* to = static_cast<char*>(dst.raw_data());
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= type.shape[i];
  const int64_t inner = type.shape.Strides()[axis] * static_cast<int64_t>(SizeOf(type.dtype));
  for (int64_t o = 0; o < outer; ++o) {
    for (const Tensor* part : op.constants) {
      const int64_t bytes = part->shape()[axis] * inner;
      std::memcpy(to, static_cast<const char*>(part->raw_data()) + o * bytes, bytes);
      to += bytes;
    }
  }
  return dst;
}

Result Trilu(const OpContext& op, const ValueType& type) {
  ASSIGN_OR_RETURN(const TriluParams params, ReadTrilu(op.node, op.constant(1)));
  const int rank = type.shape.rank();
  const int64_t rows = type.shape[rank - 2], columns = type.shape[rank - 1];
  const auto bytes = static_cast<int64_t>(SizeOf(type.dtype));
  Tensor dst = op.constant(0)->Clone();
  char* row = static_cast<char*>(dst.raw_data());
  const int64_t all_rows = columns == 0 ? 0 : dst.element_count() / columns;
  for (int64_t i = 0; i < all_rows; ++i, row += columns * bytes) {
    // k may be anything, and is held where it makes no difference any more.
    const int64_t diagonal = i % rows + std::clamp(params.k, -rows, columns);
    const int64_t cut = std::clamp<int64_t>(params.upper ? diagonal : diagonal + 1, 0, columns);
    if (params.upper) {
      std::memset(row, 0, static_cast<size_t>(cut * bytes));
    } else {
      std::memset(row + cut * bytes, 0, static_cast<size_t>((columns - cut) * bytes));
    }
  }
  return dst;
}

}  // namespace fold
}  // namespace topiary
