// Result types of the operators that are only ever computed on constants.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/constant_folding.h"
#include "worker/model/op_params.h"
#include "worker/model/type_rules.h"

namespace topiary::type_rules {

Result Constant(const OpContext& op) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Tensor> value, ConstantNodeValue(op.node));
  return std::vector<ValueType>{{value->dtype(), value->shape()}};
}

Result ConstantOfShape(const OpContext& op) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> extents, IntegerValues(*op.constant(0)));
  DType dtype = DType::kFloat32;
  if (const Attribute* value = op.node.FindAttribute("value")) {
    const auto* tensor = std::get_if<std::shared_ptr<const Tensor>>(&value->value);
    if (tensor == nullptr || (*tensor)->element_count() != 1) {
      return absl::InvalidArgumentError("attribute 'value' is not a tensor of one element");
    }
    dtype = (*tensor)->dtype();
  }
  const Shape shape{absl::MakeConstSpan(extents)};
  RETURN_IF_ERROR(shape.CheckedElementCount(kMaxFoldedElements).status());
  return std::vector<ValueType>{{dtype, shape}};
}

Result ShapeOf(const OpContext& op) {
  ASSIGN_OR_RETURN(const ShapeRange range, ReadShapeRange(op.node, op.shape(0).rank()));
  return std::vector<ValueType>{{DType::kInt64, Shape({range.end - range.start})}};
}

Result Slice(const OpContext& op) {
  ASSIGN_OR_RETURN(const std::vector<AxisSlice> slices, ReadSlices(op));
  Shape shape = op.shape(0);
  for (int i = 0; i < shape.rank(); ++i) shape = shape.WithDim(i, slices[i].count);
  return std::vector<ValueType>{{op.dtype(0), shape}};
}

Result Range(const OpContext& op) {
  constexpr int64_t kLargest = int64_t{1} << 40;
  int64_t operands[3];
  for (size_t i = 0; i < 3; ++i) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> values, IntegerValues(*op.constant(i)));
    if (values.size() != 1 || values[0] > kLargest || values[0] < -kLargest) {
      return absl::InvalidArgumentError("operands must be single integers below 2^40");
    }
    operands[i] = values[0];
  }
  const auto [start, limit, delta] = operands;
  if (delta == 0) return absl::InvalidArgumentError("the step is 0");
  const int64_t span = delta > 0 ? limit - start : start - limit;
  const int64_t step = std::abs(delta);
  const Shape shape({span <= 0 ? 0 : (span + step - 1) / step});
  RETURN_IF_ERROR(shape.CheckedElementCount(kMaxFoldedElements).status());
  return std::vector<ValueType>{{DType::kInt64, shape}};
}

// The exponent may be of another type than the base, whose type the result has.
Result Pow(const OpContext& op) {
  ASSIGN_OR_RETURN(Shape shape, BroadcastShapes(op.shape(0), op.shape(1)));
  return std::vector<ValueType>{{op.dtype(0), std::move(shape)}};
}

Result Trilu(const OpContext& op) {
  if (op.shape(0).rank() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("operand ", op.shape(0).ToString(), " is no matrix"));
  }
  RETURN_IF_ERROR(ReadTrilu(op.node, op.constant(1)).status());
  return std::vector<ValueType>{{op.dtype(0), op.shape(0)}};
}

}  // namespace topiary::type_rules
