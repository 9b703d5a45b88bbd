#include <cmath>
#include <vector>

#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {

void LayerNormForward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<LayerNormParameters>(op.parameters);
  const LayerNormForwardOrder at(p);
  const Shape& shape = op.operands[at.src].shape;
  const int64_t rows = shape[0], n = shape[1];
  const float* scale = F32(buffers, at.scale);
  const float* bias = p.has_bias ? F32(buffers, at.bias) : nullptr;
  for (int64_t row = 0; row < rows; ++row) {
    const float* src = F32(buffers, at.src) + row * n;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; ++i) sum += src[i];
    const double mean = n == 0 ? 0 : sum / static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) squares += (src[i] - mean) * (src[i] - mean);
    const double variance = n == 0 ? 0 : squares / static_cast<double>(n);
    const double inverse_std = 1 / std::sqrt(variance + p.epsilon);
    for (int64_t i = 0; i < n; ++i) {
      const double shifted = bias == nullptr ? 0 : bias[i];
      F32(buffers, at.dst)
      [row * n + i] = static_cast<float>((src[i] - mean) * inverse_std * scale[i] + shifted);
    }
    F32(buffers, at.saved_mean)[row] = static_cast<float>(mean);
    F32(buffers, at.saved_inverse_std)[row] = static_cast<float>(inverse_std);
  }
}

// With x = (src - mean) / std and d_x = d_dst * scale:
// d_src = (d_x - mean of d_x - x * mean of d_x * x) / std, both means over the row.
void LayerNormBackward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<LayerNormParameters>(op.parameters);
  const LayerNormBackwardOrder at(p);
  const Shape& shape = op.operands[at.src].shape;
  const int64_t rows = shape[0], n = shape[1];
  const float* scale = F32(buffers, at.scale);
  std::vector<double> d_scale(n), d_bias(n), x(n), d_x(n);
  for (int64_t row = 0; row < rows; ++row) {
    const float* src = F32(buffers, at.src) + row * n;
    const float* d_dst = F32(buffers, at.d_dst) + row * n;
    const double mean = F32(buffers, at.saved_mean)[row];
    const double inverse_std = F32(buffers, at.saved_inverse_std)[row];
    double sum = 0, product = 0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] = (src[i] - mean) * inverse_std;
      d_x[i] = double{d_dst[i]} * scale[i];
      sum += d_x[i];
      product += d_x[i] * x[i];
      d_scale[i] += d_dst[i] * x[i];
      d_bias[i] += d_dst[i];
    }
    const auto count = static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) {
      F32(buffers, at.d_src)
      [row * n + i] =
          static_cast<float>(inverse_std * (d_x[i] - sum / count - x[i] * product / count));
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    F32(buffers, at.d_scale)[i] = static_cast<float>(d_scale[i]);
    if (p.has_bias) F32(buffers, at.d_bias)[i] = static_cast<float>(d_bias[i]);
  }
}

}  // namespace reference
}  // namespace topiary
