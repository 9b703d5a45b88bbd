#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

// [n, c, inner...]: element i belongs to channel i / inner % c.
struct Channels {
  explicit Channels(const Shape& src) : count(src[1]), total(src.element_count()), inner(1) {
    for (int axis = 2; axis < src.rank(); ++axis) inner *= src[axis];
  }
  int64_t Of(int64_t element) const { return element / inner % count; }
  int64_t per_channel() const { return count == 0 ? 0 : total / count; }

  int64_t count;
  int64_t total;
  int64_t inner;
};

struct Moments {
  std::vector<double> mean;
  std::vector<double> variance;  // Biased.
};

Moments MomentsOf(const Channels& channels, const float* src) {
  const double n = static_cast<double>(channels.per_channel());
  Moments m{std::vector<double>(channels.count), std::vector<double>(channels.count)};
  for (int64_t i = 0; i < channels.total; ++i) m.mean[channels.Of(i)] += src[i];
  for (double& mean : m.mean) mean /= n;
  for (int64_t i = 0; i < channels.total; ++i) {
    const double deviation = src[i] - m.mean[channels.Of(i)];
    m.variance[channels.Of(i)] += deviation * deviation;
  }
  for (double& variance : m.variance) variance /= n;
  return m;
}

void UpdateRunning(const BatchNormParameters& p, double count, const Moments& m, float* mean,
                   float* variance) {
  const bool replaced = p.scalars != nullptr && p.scalars->running_momentum >= 0;
  const double momentum = replaced ? p.scalars->running_momentum : p.momentum;
  const double unbiased = count / std::max(count - 1, 1.0);
  for (size_t c = 0; c < m.mean.size(); ++c) {
    mean[c] = static_cast<float>(momentum * mean[c] + (1 - momentum) * m.mean[c]);
    variance[c] =
        static_cast<float>(momentum * variance[c] + (1 - momentum) * m.variance[c] * unbiased);
  }
}

void Normalize(const BatchNormParameters& p, const Channels& channels,
               const std::vector<double>& mean, const std::vector<double>& inverse_std,
               const BatchNormForwardOrder& order, Buffers buffers) {
  const float* src = F32(buffers, order.src);
  const float* scale = F32(buffers, order.scale);
  const float* bias = F32(buffers, order.bias);
  const float* residual = order.residual < 0 ? nullptr : F32(buffers, order.residual);
  float* dst = F32(buffers, order.dst);
  for (int64_t i = 0; i < channels.total; ++i) {
    const int64_t c = channels.Of(i);
    double value = (src[i] - mean[c]) * inverse_std[c] * scale[c] + bias[c];
    if (residual != nullptr) value += residual[i];
    if (p.fused_relu) value = std::max(value, 0.0);
    dst[i] = static_cast<float>(value);
  }
}

// By what is saved for the backward pass.
void NormalizeBySaved(const BatchNormParameters& p, const Channels& channels,
                      const BatchNormForwardOrder& order, Buffers buffers) {
  const float* mean = F32(buffers, order.saved_mean);
  const float* inverse_std = F32(buffers, order.saved_inverse_std);
  Normalize(p, channels, {mean, mean + channels.count}, {inverse_std, inverse_std + channels.count},
            order, buffers);
}

}  // namespace

void BatchNormForwardTraining(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<BatchNormParameters>(op.parameters);
  const BatchNormForwardOrder order(p);
  const Channels channels(op.operands[order.src].shape);
  const Moments m = MomentsOf(channels, F32(buffers, order.src));
  UpdateRunning(p, static_cast<double>(channels.per_channel()), m, F32(buffers, order.mean),
                F32(buffers, order.variance));
  for (int64_t c = 0; c < channels.count; ++c) {
    F32(buffers, order.saved_mean)[c] = static_cast<float>(m.mean[c]);
    F32(buffers, order.saved_inverse_std)
    [c] = static_cast<float>(1 / std::sqrt(m.variance[c] + p.epsilon));
  }
  NormalizeBySaved(p, channels, order, buffers);
}

void BatchNormForwardInference(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<BatchNormParameters>(op.parameters);
  const BatchNormForwardOrder order(p);
  const Channels channels(op.operands[order.src].shape);
  const float* mean = F32(buffers, order.mean);
  std::vector<double> inverse_std;
  for (int64_t c = 0; c < channels.count; ++c) {
    inverse_std.push_back(1 / std::sqrt(double{F32(buffers, order.variance)[c]} + p.epsilon));
  }
  Normalize(p, channels, {mean, mean + channels.count}, inverse_std, order, buffers);
}

void BatchNormForwardAgain(const OpDescription& op, Buffers buffers) {
  const BatchNormForwardOrder order = BatchNormForwardOrder::Again();
  NormalizeBySaved(std::get<BatchNormParameters>(op.parameters),
                   Channels(op.operands[order.src].shape), order, buffers);
}

// With x^ = (src - mean) * inverse_std and g the gradient that arrives (Ioffe & Szegedy 2015,
// section 3):
//   d_bias = sum g, d_scale = sum g x^,
//   d_src = scale * inverse_std * (g - d_bias / n - x^ d_scale / n).
void BatchNormBackward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<BatchNormParameters>(op.parameters);
  const BatchNormBackwardOrder order(p);
  const Channels channels(op.operands[order.src].shape);
  const float* src = F32(buffers, order.src);
  const float* mean = F32(buffers, order.saved_mean);
  const float* inverse_std = F32(buffers, order.saved_inverse_std);
  std::vector<float> gradient(channels.total);
  std::vector<double> sum_g(channels.count), sum_gx(channels.count);
  for (int64_t i = 0; i < channels.total; ++i) {
    gradient[i] = F32(buffers, order.d_dst)[i];
    if (p.sum_d_dst) gradient[i] += F32(buffers, order.d_dst_2)[i];
    if (p.fused_relu && !(F32(buffers, order.dst)[i] > 0)) gradient[i] = 0;
    const int64_t c = channels.Of(i);
    sum_g[c] += gradient[i];
    sum_gx[c] += double{gradient[i]} * (src[i] - double{mean[c]}) * inverse_std[c];
  }
  const double n = static_cast<double>(channels.per_channel());
  for (int64_t i = 0; i < channels.total; ++i) {
    const int64_t c = channels.Of(i);
    const double x = (src[i] - double{mean[c]}) * inverse_std[c];
    F32(buffers, order.d_src)
    [i] = static_cast<float>(F32(buffers, order.scale)[c] * double{inverse_std[c]} *
                             (gradient[i] - sum_g[c] / n - x * sum_gx[c] / n));
  }
  for (int64_t c = 0; c < channels.count; ++c) {
    F32(buffers, order.d_scale)[c] = static_cast<float>(sum_gx[c]);
    F32(buffers, order.d_bias)[c] = static_cast<float>(sum_g[c]);
  }
  if (p.fused_add) std::copy(gradient.begin(), gradient.end(), F32(buffers, order.d_residual));
}

}  // namespace reference
}  // namespace topiary
