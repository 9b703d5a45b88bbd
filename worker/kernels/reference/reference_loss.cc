#include <algorithm>
#include <cmath>
#include <vector>

#include "common/check.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

float* GradientOrNull(const OpDescription& op, Buffers buffers) {
  return std::get<LossParameters>(op.parameters).has_gradient ? F32(buffers, 3) : nullptr;
}

double WeightOf(const OpDescription& op) {
  return double{std::get<LossParameters>(op.parameters).weight};
}

// One row: returns -log softmax(logits)[label] and replaces d_logits, if any, by (softmax - one
// hot) * weight.
double CrossEntropyOfRow(const float* logits, int64_t classes, int32_t label, double weight,
                         float* d_logits) {
  const double largest = *std::max_element(logits, logits + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(logits[c] - largest);
  const double loss = std::log(sum) + largest - logits[label];
  for (int64_t c = 0; d_logits != nullptr && c < classes; ++c) {
    const double p = std::exp(logits[c] - largest) / sum;
    d_logits[c] = static_cast<float>((p - (c == label ? 1 : 0)) * weight);
  }
  return loss;
}

// log softmax(logits / temperature); of one column, of it and a second one of 0.
std::vector<double> LogSoftmax(const float* logits, int64_t classes, double temperature) {
  std::vector<double> result(logits, logits + classes);
  if (classes == 1) result.push_back(0);
  for (double& value : result) value /= temperature;
  const double largest = *std::max_element(result.begin(), result.end());
  double sum = 0;
  for (const double value : result) sum += std::exp(value - largest);
  for (double& value : result) value -= largest + std::log(sum);
  return result;
}

}  // namespace

void SoftmaxCrossEntropy(const OpDescription& op, Buffers buffers) {
  const int64_t rows = op.operands[0].shape[0];
  const int64_t classes = op.operands[0].shape[1];
  const int32_t* labels = static_cast<const int32_t*>(buffers[1]);
  float* gradient = GradientOrNull(op, buffers);
  double sum = 0;
  for (int64_t n = 0; n < rows; ++n) {
    CHECK(labels[n] >= 0 && labels[n] < classes) << "label " << labels[n] << " of row " << n;
    sum += CrossEntropyOfRow(F32(buffers, 0) + n * classes, classes, labels[n],
                             WeightOf(op) / static_cast<double>(rows),
                             gradient == nullptr ? nullptr : gradient + n * classes);
  }
  F32(buffers, 2)[0] = static_cast<float>(WeightOf(op) * sum / static_cast<double>(rows));
}

// loss = max(x, 0) - x * t + log(1 + exp(-|x|)), which does not overflow; d_x = sigmoid(x) - t.
void BinaryCrossEntropyWithLogits(const OpDescription& op, Buffers buffers) {
  const int64_t count = op.operands[0].shape.element_count();
  float* gradient = GradientOrNull(op, buffers);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double x = F32(buffers, 0)[i];
    const double t = F32(buffers, 1)[i];
    sum += std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
    if (gradient != nullptr) {
      gradient[i] = static_cast<float>(WeightOf(op) * (1 / (1 + std::exp(-x)) - t) /
                                       static_cast<double>(count));
    }
  }
  F32(buffers, 2)[0] = static_cast<float>(WeightOf(op) * sum / static_cast<double>(count));
}

void MeanSquaredError(const OpDescription& op, Buffers buffers) {
  const int64_t count = op.operands[0].shape.element_count();
  float* gradient = GradientOrNull(op, buffers);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double error = double{F32(buffers, 0)[i]} - F32(buffers, 1)[i];
    sum += error * error;
    if (gradient != nullptr) {
      gradient[i] = static_cast<float>(WeightOf(op) * 2 * error / static_cast<double>(count));
    }
  }
  F32(buffers, 2)[0] = static_cast<float>(WeightOf(op) * sum / static_cast<double>(count));
}

// d_logits = temperature * (q - p) / n.
void Distillation(const OpDescription& op, Buffers buffers) {
  const int64_t rows = op.operands[0].shape[0];
  const int64_t classes = op.operands[0].shape[1];
  const double temperature = std::get<LossParameters>(op.parameters).temperature;
  const double mean = WeightOf(op) / static_cast<double>(rows);
  float* gradient = GradientOrNull(op, buffers);
  double sum = 0;
  for (int64_t n = 0; n < rows; ++n) {
    const auto log_p = LogSoftmax(F32(buffers, 1) + n * classes, classes, temperature);
    const auto log_q = LogSoftmax(F32(buffers, 0) + n * classes, classes, temperature);
    for (size_t c = 0; c < log_p.size(); ++c) sum += std::exp(log_p[c]) * (log_p[c] - log_q[c]);
    for (int64_t c = 0; gradient != nullptr && c < classes; ++c) {
      gradient[n * classes + c] =
          static_cast<float>(temperature * mean * (std::exp(log_q[c]) - std::exp(log_p[c])));
    }
  }
  F32(buffers, 2)[0] = static_cast<float>(temperature * temperature * mean * sum);
}

}  // namespace reference
}  // namespace topiary
