// Result types of the operators that compute.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"
#include "worker/model/type_rules.h"

namespace topiary::type_rules {
namespace {

std::vector<ValueType> One(DType dtype, Shape shape) { return {{dtype, std::move(shape)}}; }

absl::Status NeedRank(const Shape& shape, int rank, absl::string_view what) {
  if (shape.rank() == rank) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " ", shape.ToString(), " has rank ", shape.rank(), ", not ", rank));
}

absl::Status NeedChannels(const Shape& shape, int64_t channels, absl::string_view what) {
  if (shape == Shape({channels})) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " ", shape.ToString(), " should be [", channels, "]"));
}

// [n, c, dst_spatial...]
Shape WindowedShape(int64_t n, int64_t c, const Window& window) {
  Shape::Dims dims = {n, c};
  dims.insert(dims.end(), window.dst_spatial.begin(), window.dst_spatial.end());
  return Shape(absl::MakeConstSpan(dims));
}

}  // namespace

Result SameAsFirst(const OpContext& op) { return One(op.dtype(0), op.shape(0)); }

Result Broadcast(const OpContext& op) {
  if (op.dtype(0) != op.dtype(1)) {
    return absl::InvalidArgumentError(absl::StrCat("operands are ", DTypeName(op.dtype(0)), " and ",
                                                   DTypeName(op.dtype(1)), "; they must agree"));
  }
  ASSIGN_OR_RETURN(Shape shape, BroadcastShapes(op.shape(0), op.shape(1)));
  return One(op.dtype(0), std::move(shape));
}

Result Clip(const OpContext& op) {
  RETURN_IF_ERROR(ReadClip(op.constant(1), op.constant(2)).status());
  return One(op.dtype(0), op.shape(0));
}

Result Gemm(const OpContext& op) {
  ASSIGN_OR_RETURN(const GemmParams params, ReadGemm(op.node));
  const Shape& a = op.shape(0);
  const Shape& b = op.shape(1);
  RETURN_IF_ERROR(NeedRank(a, 2, "operand A"));
  RETURN_IF_ERROR(NeedRank(b, 2, "operand B"));
  const int64_t m = a[params.trans_a ? 1 : 0];
  const int64_t k = a[params.trans_a ? 0 : 1];
  const int64_t n = b[params.trans_b ? 0 : 1];
  if (b[params.trans_b ? 1 : 0] != k) {
    return absl::InvalidArgumentError(absl::StrCat(
        "operands A ", a.ToString(), " and B ", b.ToString(),
        " disagree about K (transA=", params.trans_a, ", transB=", params.trans_b, ")"));
  }
  const Shape dst({m, n});
  if (op.has(2)) {
    const absl::StatusOr<Shape> joint = BroadcastShapes(op.shape(2), dst);
    if (!joint.ok() || *joint != dst) {
      return absl::InvalidArgumentError(absl::StrCat("operand C ", op.shape(2).ToString(),
                                                     " does not broadcast to ", dst.ToString()));
    }
  }
  return One(op.dtype(0), dst);
}

Result MatMul(const OpContext& op) {
  const Shape& a = op.shape(0);
  const Shape& b = op.shape(1);
  if (a.rank() == 0 || b.rank() == 0) {
    return absl::InvalidArgumentError("a scalar is no operand of a matrix product");
  }
  const int64_t k = a[a.rank() - 1];
  const int64_t k_of_b = b[std::max(0, b.rank() - 2)];
  if (k != k_of_b) {
    return absl::InvalidArgumentError(
        absl::StrCat("operands ", a.ToString(), " and ", b.ToString(), " disagree about K"));
  }
  const auto stack = [](const Shape& s) {
    const int outer = std::max(0, s.rank() - 2);
    return Shape(absl::MakeConstSpan(s.dims()).subspan(0, outer));
  };
  ASSIGN_OR_RETURN(const Shape outer, BroadcastShapes(stack(a), stack(b)));
  Shape::Dims dims = outer.dims();
  if (a.rank() > 1) dims.push_back(a[a.rank() - 2]);
  if (b.rank() > 1) dims.push_back(b[b.rank() - 1]);
  return One(op.dtype(0), Shape(absl::MakeConstSpan(dims)));
}

Result Conv(const OpContext& op) {
  ASSIGN_OR_RETURN(const ConvParams params, ReadConv(op.node, op.shape(0), op.shape(1)));
  const int64_t channels = op.shape(1)[0];
  if (op.has(2)) RETURN_IF_ERROR(NeedChannels(op.shape(2), channels, "bias"));
  return One(op.dtype(0), WindowedShape(op.shape(0)[0], channels, params.window));
}

Result Pool(const OpContext& op) {
  if (!op.node.output(1).empty()) {
    return absl::UnimplementedError("the second output (indices) is not supported");
  }
  ASSIGN_OR_RETURN(const PoolParams params, ReadPool(op.node, op.shape(0)));
  return One(op.dtype(0), WindowedShape(op.shape(0)[0], op.shape(0)[1], params.window));
}

Result GlobalPool(const OpContext& op) {
  const Shape& src = op.shape(0);
  if (src.rank() < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("src ", src.ToString(), " has no spatial axis to average over"));
  }
  Shape dst = src;
  for (int i = 2; i < src.rank(); ++i) {
    if (src[i] == 0) return absl::InvalidArgumentError("a spatial axis is empty");
    dst = dst.WithDim(i, 1);
  }
  return One(op.dtype(0), std::move(dst));
}

Result BatchNorm(const OpContext& op) {
  RETURN_IF_ERROR(ReadBatchNorm(op.node).status());
  const Shape& src = op.shape(0);
  if (src.rank() < 2) {
    return absl::InvalidArgumentError(absl::StrCat("src ", src.ToString(), " has no channel axis"));
  }
  static constexpr const char* kNames[] = {"", "scale", "bias", "mean", "variance"};
  for (size_t i = 1; i < 5; ++i) RETURN_IF_ERROR(NeedChannels(op.shape(i), src[1], kNames[i]));
  std::vector<ValueType> types(5, {op.dtype(0), Shape({src[1]})});
  types[0].shape = src;
  return types;
}

Result LayerNorm(const OpContext& op) {
  for (int i = 1; i < 3; ++i) {
    if (!op.node.output(i).empty()) {
      return absl::UnimplementedError("the outputs after the first are not supported");
    }
  }
  const Shape& src = op.shape(0);
  ASSIGN_OR_RETURN(const LayerNormParams params, ReadLayerNorm(op.node, src.rank()));
  const Shape normalized(absl::MakeConstSpan(src.dims()).subspan(params.axis));
  static constexpr const char* kNames[] = {"", "scale", "bias"};
  for (size_t i = 1; i < 3; ++i) {
    if (!op.has(i) || op.shape(i) == normalized) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kNames[i], " ", op.shape(i).ToString(), " should be ", normalized.ToString()));
  }
  const ValueType rest{op.dtype(0), Shape()};  // Unused.
  return std::vector<ValueType>{{op.dtype(0), src}, rest, rest};
}

Result Gelu(const OpContext& op) {
  RETURN_IF_ERROR(CheckGelu(op.node));
  return SameAsFirst(op);
}

Result LeakyRelu(const OpContext& op) {
  RETURN_IF_ERROR(ReadLeakyReluAlpha(op.node).status());
  return SameAsFirst(op);
}

Result SoftmaxLike(const OpContext& op) {
  RETURN_IF_ERROR(ReadAxis(op.node, op.shape(0).rank()).status());
  return SameAsFirst(op);
}

Result Dropout(const OpContext& op) {
  RETURN_IF_ERROR(ReadDropoutRatio(op.constant(1)).status());
  return std::vector<ValueType>{{op.dtype(0), op.shape(0)}, {DType::kBool, op.shape(0)}};
}

}  // namespace topiary::type_rules
