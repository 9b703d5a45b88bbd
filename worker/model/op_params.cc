#include "worker/model/op_params.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

template <typename T>
absl::StatusOr<T> TypedAttribute(const Node& node, absl::string_view name, T fallback,
                                 absl::string_view type_name) {
  const Attribute* attribute = node.FindAttribute(name);
  if (attribute == nullptr) return fallback;
  if (const T* value = std::get_if<T>(&attribute->value)) return *value;
  return absl::InvalidArgumentError(
      absl::StrCat("attribute '", name, "' is not ", type_name, " as ", node.op_type, " needs"));
}

// A 0/1 attribute.
absl::StatusOr<bool> FlagAttribute(const Node& node, absl::string_view name, bool fallback) {
  ASSIGN_OR_RETURN(const int64_t value, IntAttribute(node, name, fallback ? 1 : 0));
  if (value != 0 && value != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute '", name, "' is ", value, "; it must be 0 or 1"));
  }
  return value == 1;
}

absl::StatusOr<float> ScalarFloat(const Tensor& tensor, absl::string_view what) {
  if (tensor.element_count() != 1 || tensor.dtype() != DType::kFloat32) {
    return absl::InvalidArgumentError(absl::StrCat(what, " must be one float32 value, not ",
                                                   DTypeName(tensor.dtype()),
                                                   tensor.shape().ToString()));
  }
  return tensor.data<float>()[0];
}

}  // namespace

absl::StatusOr<int64_t> IntAttribute(const Node& node, absl::string_view name, int64_t fallback) {
  return TypedAttribute<int64_t>(node, name, fallback, "an integer");
}

absl::StatusOr<float> FloatAttribute(const Node& node, absl::string_view name, float fallback) {
  return TypedAttribute<float>(node, name, fallback, "a float");
}

absl::StatusOr<std::string> StringAttribute(const Node& node, absl::string_view name,
                                            absl::string_view fallback) {
  return TypedAttribute<std::string>(node, name, std::string(fallback), "a string");
}

absl::StatusOr<std::vector<int64_t>> IntsAttribute(const Node& node, absl::string_view name,
                                                   std::vector<int64_t> fallback) {
  return TypedAttribute<std::vector<int64_t>>(node, name, std::move(fallback),
                                              "a list of integers");
}

absl::StatusOr<int> NormalizeAxis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("axis ", axis, " is outside a tensor of rank ", rank));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

absl::StatusOr<std::vector<int>> NormalizeAxes(absl::Span<const int64_t> axes, int rank) {
  std::vector<int> result;
  for (int64_t axis : axes) {
    ASSIGN_OR_RETURN(const int normal, NormalizeAxis(axis, rank));
    result.push_back(normal);
  }
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("axes [", absl::StrJoin(axes, ","), "] name an axis twice"));
  }
  return result;
}

absl::StatusOr<std::vector<int64_t>> IntegerValues(const Tensor& tensor) {
  if (tensor.shape().rank() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a list of integers is needed, not a tensor of shape ", tensor.shape().ToString()));
  }
  if (tensor.dtype() == DType::kInt64) {
    const auto span = tensor.span<int64_t>();
    return std::vector<int64_t>(span.begin(), span.end());
  }
  if (tensor.dtype() == DType::kInt32) {
    const auto span = tensor.span<int32_t>();
    return std::vector<int64_t>(span.begin(), span.end());
  }
  return absl::InvalidArgumentError(
      absl::StrCat("integers are needed, not ", DTypeName(tensor.dtype())));
}

absl::StatusOr<GemmParams> ReadGemm(const Node& node) {
  GemmParams params;
  ASSIGN_OR_RETURN(params.alpha, FloatAttribute(node, "alpha", 1.0f));
  ASSIGN_OR_RETURN(params.beta, FloatAttribute(node, "beta", 1.0f));
  ASSIGN_OR_RETURN(params.trans_a, FlagAttribute(node, "transA", false));
  ASSIGN_OR_RETURN(params.trans_b, FlagAttribute(node, "transB", false));
  return params;
}

absl::StatusOr<BatchNormParams> ReadBatchNorm(const Node& node) {
  BatchNormParams params;
  ASSIGN_OR_RETURN(params.epsilon, FloatAttribute(node, "epsilon", 1e-5f));
  ASSIGN_OR_RETURN(params.momentum, FloatAttribute(node, "momentum", 0.9f));
  if (!(params.epsilon > 0) || !(params.epsilon < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute 'epsilon' is ", params.epsilon, "; it must be in (0, 1)"));
  }
  if (!(params.momentum >= 0) || !(params.momentum <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute 'momentum' is ", params.momentum, "; it must be in [0, 1]"));
  }
  ASSIGN_OR_RETURN(params.training, FlagAttribute(node, "training_mode", false));
  return params;
}

absl::StatusOr<float> ReadLeakyReluAlpha(const Node& node) {
  return FloatAttribute(node, "alpha", 0.01f);
}

absl::StatusOr<LayerNormParams> ReadLayerNorm(const Node& node, int rank) {
  LayerNormParams params;
  ASSIGN_OR_RETURN(const int64_t axis, IntAttribute(node, "axis", -1));
  ASSIGN_OR_RETURN(params.axis, NormalizeAxis(axis, rank));
  ASSIGN_OR_RETURN(params.epsilon, FloatAttribute(node, "epsilon", 1e-5f));
  ASSIGN_OR_RETURN(const int64_t stash, IntAttribute(node, "stash_type", 1));
  if (stash != 1) {
    return absl::UnimplementedError(
        absl::StrCat("stash_type ", stash, " is not supported; supported is 1, float32"));
  }
  if (!(params.epsilon >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("epsilon is ", params.epsilon, "; it must not be negative"));
  }
  return params;
}

absl::Status CheckGelu(const Node& node) {
  ASSIGN_OR_RETURN(const std::string form, StringAttribute(node, "approximate", "none"));
  if (form == "none") return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("approximate '", form, "' is not supported; supported is none"));
}

absl::StatusOr<TriluParams> ReadTrilu(const Node& node, const Tensor* k) {
  TriluParams params;
  ASSIGN_OR_RETURN(const int64_t upper, IntAttribute(node, "upper", 1));
  params.upper = upper != 0;
  if (k == nullptr) return params;
  ASSIGN_OR_RETURN(const std::vector<int64_t> values, IntegerValues(*k));
  if (values.size() != 1) return absl::InvalidArgumentError("operand k is not one integer");
  params.k = values[0];
  return params;
}

absl::StatusOr<int> ReadAxis(const Node& node, int rank) {
  // Since opset 13 the default of Softmax and LogSoftmax is the last axis; Concat must name one.
  if (node.op_type == "Concat" && node.FindAttribute("axis") == nullptr) {
    return absl::InvalidArgumentError("attribute 'axis' is missing");
  }
  const int64_t fallback = node.op_type == "Gather" ? 0 : -1;
  ASSIGN_OR_RETURN(const int64_t axis, IntAttribute(node, "axis", fallback));
  return NormalizeAxis(axis, rank);
}

absl::StatusOr<int> ReadFlattenAxis(const Node& node, int rank) {
  ASSIGN_OR_RETURN(const int64_t axis, IntAttribute(node, "axis", 1));
  if (axis == rank) return rank;
  return NormalizeAxis(axis, rank);
}

absl::StatusOr<std::vector<int>> ReadPermutation(const Node& node, int rank) {
  std::vector<int64_t> fallback(rank);
  for (int i = 0; i < rank; ++i) fallback[i] = rank - 1 - i;
  ASSIGN_OR_RETURN(const std::vector<int64_t> perm, IntsAttribute(node, "perm", fallback));
  std::vector<bool> seen(rank, false);
  std::vector<int> result;
  for (int64_t p : perm) {
    if (p < 0 || p >= rank || seen[p]) break;
    seen[p] = true;
    result.push_back(static_cast<int>(p));
  }
  if (result.size() != perm.size() || static_cast<int>(perm.size()) != rank) {
    return absl::InvalidArgumentError(absl::StrCat("attribute 'perm' [", absl::StrJoin(perm, ","),
                                                   "] is not a permutation of ", rank, " axes"));
  }
  return result;
}

absl::StatusOr<DType> ReadCastTarget(const Node& node) {
  if (node.FindAttribute("to") == nullptr) {
    return absl::InvalidArgumentError("attribute 'to' is missing");
  }
  ASSIGN_OR_RETURN(const int64_t to, IntAttribute(node, "to", 0));
  ASSIGN_OR_RETURN(const DType dtype, DTypeFromOnnx(to));
  if (dtype == DType::kFloat16 || dtype == DType::kBFloat16) {
    return absl::UnimplementedError(
        absl::StrCat("Cast to ", DTypeName(dtype), " is not supported; export in float32"));
  }
  return dtype;
}

absl::StatusOr<ClipParams> ReadClip(const Tensor* min, const Tensor* max) {
  ClipParams params{std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()};
  if (min != nullptr) {
    ASSIGN_OR_RETURN(params.min, ScalarFloat(*min, "the lower bound"));
  }
  if (max != nullptr) {
    ASSIGN_OR_RETURN(params.max, ScalarFloat(*max, "the upper bound"));
  }
  // ONNX lets the upper bound win where the two cross; a NaN has no meaning.
  if (params.min != params.min || params.max != params.max) {
    return absl::InvalidArgumentError("a bound is NaN");
  }
  return params;
}

absl::StatusOr<float> ReadDropoutRatio(const Tensor* ratio) {
  if (ratio == nullptr) return 0.5f;
  ASSIGN_OR_RETURN(const float value, ScalarFloat(*ratio, "the ratio"));
  if (!(value >= 0) || !(value < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ratio is ", value, "; it must be in [0, 1)"));
  }
  return value;
}

absl::StatusOr<DType> DTypeFromOnnx(int64_t data_type) {
  switch (data_type) {  // onnx.TensorProto.DataType
    case 1:
      return DType::kFloat32;
    case 2:
      return DType::kUint8;
    case 3:
      return DType::kInt8;
    case 6:
      return DType::kInt32;
    case 7:
      return DType::kInt64;
    case 9:
      return DType::kBool;
    case 10:
      return DType::kFloat16;
    case 11:
      return DType::kFloat64;
    case 16:
      return DType::kBFloat16;
    default:
      return absl::UnimplementedError(absl::StrCat(
          "ONNX data type ", data_type,
          " is not supported; supported are FLOAT (1), UINT8 (2), INT8 (3), INT32 (6), INT64 (7), "
          "BOOL (9) and DOUBLE (11)"));
  }
}

}  // namespace topiary
