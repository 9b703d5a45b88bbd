// Result types of the operators that only move elements.
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"
#include "worker/model/type_rules.h"

namespace topiary::type_rules {
namespace {

std::vector<ValueType> One(DType dtype, const Shape::Dims& dims) {
  return {{dtype, Shape(absl::MakeConstSpan(dims))}};
}

// Axes of Squeeze and Unsqueeze: the second operand since opset 13, an attribute before.
absl::StatusOr<std::vector<int64_t>> ReadAxes(const OpContext& op) {
  if (op.constant(1) != nullptr) return IntegerValues(*op.constant(1));
  return IntsAttribute(op.node, "axes", {});
}

}  // namespace

Result Flatten(const OpContext& op) {
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const int axis, ReadFlattenAxis(op.node, src.rank()));
  int64_t outer = 1;
  int64_t inner = 1;
  for (int i = 0; i < src.rank(); ++i) (i < axis ? outer : inner) *= src[i];
  return One(op.dtype(0), {outer, inner});
}

Result Reshape(const OpContext& op) {
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> wanted, IntegerValues(*op.constant(1)));
  ASSIGN_OR_RETURN(const int64_t allow_zero, IntAttribute(op.node, "allowzero", 0));
  Shape::Dims dims;
  int inferred = -1;
  for (size_t i = 0; i < wanted.size(); ++i) {
    int64_t extent = wanted[i];
    if (extent == 0 && allow_zero == 0) {
      if (static_cast<int>(i) >= src.rank()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "extent 0 at axis ", i, " copies an axis that src ", src.ToString(), " does not have"));
      }
      extent = src[static_cast<int>(i)];
    }
    if (extent < -1 || (extent == -1 && inferred >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("[", absl::StrJoin(wanted, ","), "] is not a shape to reshape to"));
    }
    if (extent == -1) inferred = static_cast<int>(i);
    dims.push_back(extent == -1 ? 1 : extent);
  }
  const int64_t total = src.element_count();
  ASSIGN_OR_RETURN(const int64_t known, Shape(absl::MakeConstSpan(dims)).CheckedElementCount());
  if (inferred >= 0 && known > 0) dims[inferred] = total / known;
  const absl::StatusOr<int64_t> count = Shape(absl::MakeConstSpan(dims)).CheckedElementCount();
  if (!count.ok() || *count != total || (inferred >= 0 && known == 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("src ", src.ToString(), " of ", total, " elements cannot take the shape [",
                     absl::StrJoin(wanted, ","),
                     "]; if the batch size is written into the shape, "
                     "export the model with a dynamic batch axis"));
  }
  return One(op.dtype(0), dims);
}

Result Transpose(const OpContext& op) {
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const std::vector<int> perm, ReadPermutation(op.node, src.rank()));
  Shape::Dims dims;
  for (int axis : perm) dims.push_back(src[axis]);
  return One(op.dtype(0), dims);
}

Result Squeeze(const OpContext& op) {
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> raw, ReadAxes(op));
  ASSIGN_OR_RETURN(const std::vector<int> axes, NormalizeAxes(raw, src.rank()));
  std::vector<bool> drop(src.rank(), false);
  for (int axis : axes) {
    if (src[axis] != 1) {
      return absl::InvalidArgumentError(absl::StrCat("axis ", axis, " of src ", src.ToString(),
                                                     " is not 1 and cannot be squeezed"));
    }
    drop[axis] = true;
  }
  Shape::Dims dims;
  for (int i = 0; i < src.rank(); ++i) {
    if (!drop[i] && !(raw.empty() && src[i] == 1)) dims.push_back(src[i]);
  }
  return One(op.dtype(0), dims);
}

Result Unsqueeze(const OpContext& op) {
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> raw, ReadAxes(op));
  if (raw.empty()) return absl::InvalidArgumentError("no axes are given");
  if (raw.size() > 64) return absl::InvalidArgumentError("more than 64 axes are given");
  const int rank = src.rank() + static_cast<int>(raw.size());
  ASSIGN_OR_RETURN(const std::vector<int> axes, NormalizeAxes(raw, rank));
  Shape::Dims dims(rank, 0);
  for (int axis : axes) dims[axis] = -1;
  int next = 0;
  for (int64_t& d : dims) d = d == -1 ? 1 : src[next++];
  return One(op.dtype(0), dims);
}

Result Concat(const OpContext& op) {
  const Shape& first = op.shape(0);
  ASSIGN_OR_RETURN(const int axis, ReadAxis(op.node, first.rank()));
  int64_t total = 0;
  for (size_t i = 0; i < op.types.size(); ++i) {
    if (!op.has(i)) return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is left out"));
    const Shape& s = op.shape(i);
    if (op.dtype(i) != op.dtype(0) || s.rank() != first.rank() ||
        s.WithDim(axis, 0) != first.WithDim(axis, 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("operand ", i, ", ", DTypeName(op.dtype(i)), s.ToString(), ", does not fit ",
                       DTypeName(op.dtype(0)), first.ToString(), " along axis ", axis));
    }
    total += s[axis];
  }
  return One(op.dtype(0), first.WithDim(axis, total).dims());
}

Result Cast(const OpContext& op) {
  ASSIGN_OR_RETURN(const DType to, ReadCastTarget(op.node));
  return std::vector<ValueType>{{to, op.shape(0)}};
}

Result Gather(const OpContext& op) {
  const Shape& data = op.shape(0);
  if (op.dtype(1) != DType::kInt64 && op.dtype(1) != DType::kInt32) {
    return absl::InvalidArgumentError(
        absl::StrCat("the indices are ", DTypeName(op.dtype(1)), "; they must be integers"));
  }
  ASSIGN_OR_RETURN(const int axis, ReadAxis(op.node, data.rank()));
  Shape::Dims dims(data.dims().begin(), data.dims().begin() + axis);
  const Shape& indices = op.shape(1);
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), data.dims().begin() + axis + 1, data.dims().end());
  return std::vector<ValueType>{{op.dtype(0), Shape(absl::MakeConstSpan(dims))}};
}

}  // namespace topiary::type_rules
