// The attributes of each operator, read once, checked, with ONNX's defaults
// filled in and everything that depends on shapes (auto_pad, kernel_shape, ceil_mode,
// negative axes) settled. Shape inference and the engine read nodes only
// through these, so that both understand a node in the same way.
//
// Errors: INVALID_ARGUMENT for a wrong type, count or value, UNIMPLEMENTED for a legal
// form that is not supported. Messages name the attribute, not the node: the
// caller, who knows it, prefixes NodeLabel().
#ifndef TOPIARY_WORKER_MODEL_OP_PARAMS_H_
#define TOPIARY_WORKER_MODEL_OP_PARAMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/model/graph.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// An attribute of one type, or the default where the node has none.
absl::StatusOr<int64_t> IntAttribute(const Node& node, absl::string_view name, int64_t fallback);
absl::StatusOr<float> FloatAttribute(const Node& node, absl::string_view name, float fallback);
absl::StatusOr<std::string> StringAttribute(const Node& node, absl::string_view name,
                                            absl::string_view fallback);
absl::StatusOr<std::vector<int64_t>> IntsAttribute(const Node& node, absl::string_view name,
                                                   std::vector<int64_t> fallback);

// `axis` in [-rank, rank) as an axis in [0, rank).
absl::StatusOr<int> NormalizeAxis(int64_t axis, int rank);
// The same for a list, sorted ascending; a repeated axis is an error.
absl::StatusOr<std::vector<int>> NormalizeAxes(absl::Span<const int64_t> axes, int rank);

// The elements of an integer tensor (int64 or int32) of rank 0 or 1.
absl::StatusOr<std::vector<int64_t>> IntegerValues(const Tensor& tensor);

// A sliding window over the one or two spatial axes of [n, c, l] or [n, c, h, w].
// All vectors have one entry per spatial axis; `dst_spatial` is the extent of
// the result.
struct Window {
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t>
      pads_end;  // Includes what ceil_mode adds: windows never leave the padded src.
  std::vector<int64_t> dst_spatial;
};

// src [n, c, spatial], weights [m, c / group, kernel], dst [n, m, dst_spatial].
struct ConvParams {
  Window window;
  int64_t group = 1;
};
absl::StatusOr<ConvParams> ReadConv(const Node& node, const Shape& src, const Shape& weights);

struct PoolParams {
  Window window;
  // AveragePool: padding counts in the divisor. Padding that only ceil_mode
  // added never does: `explicit_pads_end` is what the attribute asked for.
  bool count_include_pad = false;
  std::vector<int64_t> explicit_pads_end;
};
// `node` is MaxPool or AveragePool.
absl::StatusOr<PoolParams> ReadPool(const Node& node, const Shape& src);

// dst = alpha * op(a) * op(b) + beta * c, where op transposes if told to.
struct GemmParams {
  float alpha = 1;
  float beta = 1;
  bool trans_a = false;
  bool trans_b = false;
};
absl::StatusOr<GemmParams> ReadGemm(const Node& node);

// running = momentum * running + (1 - momentum) * of_batch. `training` is
// training_mode of the file; the engine normalizes by batch statistics while
// training whatever it says, because inference files always say 0.
struct BatchNormParams {
  float epsilon = 1e-5f;
  float momentum = 0.9f;
  bool training = false;
};
absl::StatusOr<BatchNormParams> ReadBatchNorm(const Node& node);

absl::StatusOr<float> ReadLeakyReluAlpha(const Node& node);  // 0.01 by default.

// dst = (src - mean) / sqrt(variance + epsilon) * scale + bias over the axes [axis, rank).
struct LayerNormParams {
  int axis = 0;
  float epsilon = 1e-5f;
};
absl::StatusOr<LayerNormParams> ReadLayerNorm(const Node& node, int rank);

// UNIMPLEMENTED unless `node`, a Gelu, is the exact one.
absl::Status CheckGelu(const Node& node);

// What Trilu keeps of each matrix: the elements on and above diagonal k, or on and below it.
struct TriluParams {
  bool upper = true;
  int64_t k = 0;
};
// `k` is the second operand, null if left out.
absl::StatusOr<TriluParams> ReadTrilu(const Node& node, const Tensor* k);

// The axis of Softmax, LogSoftmax, Concat or Gather, in [0, rank).
absl::StatusOr<int> ReadAxis(const Node& node, int rank);

// The axis at which Flatten splits, in [0, rank].
absl::StatusOr<int> ReadFlattenAxis(const Node& node, int rank);

// The permutation of Transpose: dst axis i is src axis perm[i]. Reversed axes
// where the node has no `perm`.
absl::StatusOr<std::vector<int>> ReadPermutation(const Node& node, int rank);

// The type that Cast converts to.
absl::StatusOr<DType> ReadCastTarget(const Node& node);

// Bounds of Clip from its second and third operands, each null if left out.
struct ClipParams {
  float min;
  float max;
};
absl::StatusOr<ClipParams> ReadClip(const Tensor* min, const Tensor* max);

// The ratio of Dropout in [0, 1) from its second operand, 0.5 if null.
absl::StatusOr<float> ReadDropoutRatio(const Tensor* ratio);

// The type that an ONNX TensorProto.DataType number stands for.
// UNIMPLEMENTED for one that no tensor of ours can hold.
absl::StatusOr<DType> DTypeFromOnnx(int64_t data_type);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_OP_PARAMS_H_
