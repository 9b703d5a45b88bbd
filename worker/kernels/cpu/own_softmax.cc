// Softmax and the losses.
#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "common/check.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 2048;  // Elements; an exponential costs about ten additions.

// A tensor as [outer, classes, inner], the softmax running along classes.
struct SoftmaxShape {
  int64_t outer = 1;
  int64_t classes = 1;
  int64_t inner = 1;

  SoftmaxShape(const Shape& shape, int axis) {
    for (int i = 0; i < shape.rank(); ++i) {
      (i < axis ? outer : i == axis ? classes : inner) *= shape[i];
    }
  }
  int64_t grain() const { return kGrain / (classes * inner) + 1; }
};

// One softmax over `n` adjacent elements.
void SoftmaxRow(const SimdKernels& simd, bool log, int64_t n, const float* src, float* dst) {
  const float max = simd.max(n, src);
  if (log) {
    const float shift = max + std::log(simd.exp_shifted(n, src, max, nullptr));
    simd.unary_forward({UnaryFunction::kLinear, 1, -shift}, n, src, dst);
  } else {
    const float sum = simd.exp_shifted(n, src, max, dst);
    simd.unary_forward({UnaryFunction::kLinear, 1 / sum, 0}, n, dst, dst);
  }
}

// One softmax over elements `stride` apart.
void StridedSoftmax(bool log, int64_t n, int64_t stride, const float* src, float* dst) {
  float max = src[0];
  for (int64_t i = 1; i < n; ++i) max = std::max(max, src[i * stride]);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(src[i * stride] - max);
  const float log_sum = static_cast<float>(std::log(sum)), factor = static_cast<float>(1 / sum);
  for (int64_t i = 0; i < n; ++i) {
    const float x = src[i * stride] - max;
    dst[i * stride] = log ? x - log_sum : std::exp(x) * factor;
  }
}

// softmax: d_src = dst * (d_dst - <dst, d_dst>); log: d_src = d_dst - exp(dst) * sum d_dst.
void SoftmaxGradient(const SimdKernels& simd, bool log, int64_t n, int64_t stride, const float* dst,
                     const float* d_dst, float* d_src) {
  if (stride == 1 && !log) {
    simd.softmax_backward(n, dst, d_dst, d_src);
    return;
  }
  double sum = 0;
  for (int64_t i = 0; i < n * stride; i += stride) sum += log ? d_dst[i] : dst[i] * d_dst[i];
  const float total = static_cast<float>(sum);
  for (int64_t i = 0; i < n * stride; i += stride) {
    d_src[i] = log ? d_dst[i] - std::exp(dst[i]) * total : dst[i] * (d_dst[i] - total);
  }
}

// Adds up losses: loss(begin, end) of each part on its own thread, then in the order of the parts.
template <typename Loss>
float SumLoss(const CpuContext& context, int64_t n, int64_t grain, double* partials, Loss loss) {
  ParallelFor(context.threads, n, grain, 1,
              [&](int64_t begin, int64_t end, int thread) { partials[thread] = loss(begin, end); });
  double total = 0;
  const int team = TeamSize(context.threads, n, grain);
  for (int thread = 0; thread < team; ++thread) total += partials[thread];
  return static_cast<float>(total);
}

enum { kPredictions, kTargets, kLoss, kGradient };  // Operands of a loss.

struct CrossEntropyKernel {
  CpuContext context;
  int64_t rows;
  int64_t classes;
  LossParameters parameters;

  void operator()(const KernelMemory& memory) const {
    memory.At(kLoss)[0] = parameters.weight *
                          SumLoss(context, rows, kGrain / classes + 1, memory.Scratch<double>(),
                                  [&](int64_t begin, int64_t end) {
                                    double loss = 0;
                                    for (int64_t row = begin; row < end; ++row)
                                      loss += Row(memory, row);
                                    return loss;
                                  }) /
                          static_cast<float>(rows);
  }

  double Row(const KernelMemory& memory, int64_t row) const {
    const SimdKernels& simd = *context.simd;
    const float* logits = memory.At(kPredictions) + row * classes;
    const int32_t label = memory.At<int32_t>(kTargets)[row];
    CHECK(label >= 0 && label < classes) << "label " << label << " of row " << row;
    const float at_label = logits[label];  // Before the gradient takes its place.
    const float max = simd.max(classes, logits);
    float* gradient = parameters.has_gradient ? memory.At(kGradient) + row * classes : nullptr;
    const float sum = simd.exp_shifted(classes, logits, max, gradient);
    if (gradient != nullptr) {
      const float mean = parameters.weight / static_cast<float>(rows);
      simd.unary_forward({UnaryFunction::kLinear, mean / sum, 0}, classes, gradient, gradient);
      gradient[label] -= mean;
    }
    return std::log(static_cast<double>(sum)) + max - at_label;
  }
};

struct BinaryCrossEntropyKernel {
  CpuContext context;
  int64_t n;
  LossParameters parameters;

  void operator()(const KernelMemory& memory) const {
    const float* logits = memory.At(kPredictions);
    const float* targets = memory.At(kTargets);
    float* gradient = parameters.has_gradient ? memory.At(kGradient) : nullptr;
    const float mean = parameters.weight / static_cast<float>(n);
    const float total =
        SumLoss(context, n, kGrain / 4, memory.Scratch<double>(), [&](int64_t begin, int64_t end) {
          double loss = 0;
          for (int64_t i = begin; i < end; ++i) {
            // max(x, 0) - x * target + log(1 + exp(-|x|)), which never overflows.
            const float x = logits[i], e = std::exp(-std::fabs(x));
            loss += std::max(x, 0.0f) - x * targets[i] + std::log1p(e);
            if (gradient != nullptr) {
              gradient[i] = ((x >= 0 ? 1 / (1 + e) : e / (1 + e)) - targets[i]) * mean;
            }
          }
          return loss;
        });
    memory.At(kLoss)[0] = parameters.weight * total / static_cast<float>(n);
  }
};

struct SquaredErrorKernel {
  CpuContext context;
  int64_t n;
  LossParameters parameters;

  void operator()(const KernelMemory& memory) const {
    const float* predictions = memory.At(kPredictions);
    const float* targets = memory.At(kTargets);
    float* gradient = parameters.has_gradient ? memory.At(kGradient) : nullptr;
    const float factor = 2 * parameters.weight / static_cast<float>(n);
    const float total =
        SumLoss(context, n, 4 * kGrain, memory.Scratch<double>(), [&](int64_t begin, int64_t end) {
          double loss = 0;
          for (int64_t i = begin; i < end; ++i) {
            const float error = predictions[i] - targets[i];
            loss += static_cast<double>(error) * error;
            if (gradient != nullptr) gradient[i] = factor * error;
          }
          return loss;
        });
    memory.At(kLoss)[0] = parameters.weight * total / static_cast<float>(n);
  }
};

// Rows are short and steps of distillation run a second network besides: plain loops will do.
struct DistillationKernel {
  CpuContext context;
  int64_t rows;
  int64_t classes;
  LossParameters parameters;

  void operator()(const KernelMemory& memory) const {
    const float total = SumLoss(context, rows, kGrain / (4 * classes) + 1, memory.Scratch<double>(),
                                [&](int64_t begin, int64_t end) {
                                  double loss = 0;
                                  for (int64_t row = begin; row < end; ++row) {
                                    loss += Row(memory, row);
                                  }
                                  return loss;
                                });
    const float t = parameters.temperature;
    memory.At(kLoss)[0] = parameters.weight * t * t * total / static_cast<float>(rows);
  }

  // log(sum exp(logits / t)); of one column, with that of 0.
  double LogSum(const float* logits) const {
    double max = classes == 1 ? 0 : logits[0];
    for (int64_t c = 0; c < classes; ++c) max = std::max<double>(max, logits[c]);
    double sum = classes == 1 ? std::exp(-max / parameters.temperature) : 0;
    for (int64_t c = 0; c < classes; ++c) {
      sum += std::exp((logits[c] - max) / parameters.temperature);
    }
    return std::log(sum) + max / parameters.temperature;
  }

  double Row(const KernelMemory& memory, int64_t row) const {
    const float* logits = memory.At(kPredictions) + row * classes;
    const float* teacher = memory.At(kTargets) + row * classes;
    float* gradient = parameters.has_gradient ? memory.At(kGradient) + row * classes : nullptr;
    const double t = parameters.temperature;
    const double log_sum = LogSum(logits), teacher_log_sum = LogSum(teacher);
    const double mean = parameters.weight * t / static_cast<double>(rows);
    // The log-probability of the column of 0 is minus the logarithm of the sum.
    double loss = classes == 1 ? std::exp(-teacher_log_sum) * (log_sum - teacher_log_sum) : 0;
    for (int64_t c = 0; c < classes; ++c) {
      const double log_q = logits[c] / t - log_sum, log_p = teacher[c] / t - teacher_log_sum;
      const double p = std::exp(log_p);
      loss += p * (log_p - log_q);
      if (gradient != nullptr) gradient[c] = static_cast<float>(mean * (std::exp(log_q) - p));
    }
    return loss;
  }
};

}  // namespace

KernelOr PlanSoftmaxForward(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<SoftmaxParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const SoftmaxShape shape(operands[0].shape, p.axis);
  return MakeOwnKernel(
      std::move(operands), 0, [context, shape, log = p.log](const KernelMemory& memory) {
        const float* src = memory.At(0);
        float* dst = memory.At(1);
        const int64_t size = shape.classes * shape.inner;
        ParallelFor(context.threads, shape.outer, shape.grain(), 1,
                    [&](int64_t begin, int64_t end, int) {
                      for (int64_t row = begin; row < end; ++row) {
                        if (shape.inner == 1) {
                          SoftmaxRow(*context.simd, log, size, src + row * size, dst + row * size);
                          continue;
                        }
                        for (int64_t i = 0; i < shape.inner; ++i) {
                          StridedSoftmax(log, shape.classes, shape.inner, src + row * size + i,
                                         dst + row * size + i);
                        }
                      }
                    });
      });
}

KernelOr PlanSoftmaxBackward(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<SoftmaxParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const SoftmaxShape shape(operands[0].shape, p.axis);
  return MakeOwnKernel(
      std::move(operands), 0, [context, shape, log = p.log](const KernelMemory& memory) {
        const int64_t size = shape.classes * shape.inner;
        ParallelFor(context.threads, shape.outer, shape.grain(), 1,
                    [&](int64_t begin, int64_t end, int) {
                      for (int64_t row = begin; row < end; ++row) {
                        for (int64_t i = 0; i < shape.inner; ++i) {
                          const int64_t at = row * size + i;
                          SoftmaxGradient(*context.simd, log, shape.classes, shape.inner,
                                          memory.At(0) + at, memory.At(1) + at, memory.At(2) + at);
                        }
                      }
                    });
      });
}

KernelOr PlanLoss(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<LossParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const Shape shape = operands[kPredictions].shape;
  const int64_t n = shape.element_count();
  const size_t bytes = static_cast<size_t>(context.threads) * sizeof(double);
  switch (op.kind) {
    case OpKind::kSoftmaxCrossEntropy:
      return MakeOwnKernel(std::move(operands), bytes,
                           CrossEntropyKernel{context, shape[0], shape[1], p});
    case OpKind::kDistillation:
      return MakeOwnKernel(std::move(operands), bytes,
                           DistillationKernel{context, shape[0], shape[1], p});
    case OpKind::kBinaryCrossEntropyWithLogits:
      return MakeOwnKernel(std::move(operands), bytes, BinaryCrossEntropyKernel{context, n, p});
    default:
      return MakeOwnKernel(std::move(operands), bytes, SquaredErrorKernel{context, n, p});
  }
}

}  // namespace topiary
