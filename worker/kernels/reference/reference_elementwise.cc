#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "worker/kernels/dropout_mask.h"
#include "worker/kernels/reference/reference_ops.h"
#include "worker/kernels/reference/strided_loop.h"

namespace topiary {
namespace reference {
namespace {

// The share of a standard normal variable below x.
double NormalDistribution(double x) { return (1 + std::erf(x / M_SQRT2)) / 2; }

double Apply(const UnaryParameters& p, double x) {
  switch (p.function) {
    case UnaryFunction::kRelu:
      return std::max(x, 0.0);
    case UnaryFunction::kLeakyRelu:
      return x > 0 ? x : p.alpha * x;
    case UnaryFunction::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryFunction::kTanh:
      return std::tanh(x);
    case UnaryFunction::kClip:
      return std::min<double>(std::max<double>(x, p.alpha), p.beta);
    case UnaryFunction::kLinear:
      return p.alpha * x + p.beta;
    case UnaryFunction::kErf:
      return std::erf(x);
    case UnaryFunction::kGelu:
      return x * NormalDistribution(x);
  }
  return x;
}

// d dst / d src as a function of dst, or of src where DifferentiatesFromSource().
double Derivative(const UnaryParameters& p, double y) {
  switch (p.function) {
    case UnaryFunction::kRelu:
      return y > 0 ? 1 : 0;
    case UnaryFunction::kLeakyRelu:
      return y > 0 ? 1 : p.alpha;
    case UnaryFunction::kSigmoid:
      return y * (1 - y);
    case UnaryFunction::kTanh:
      return 1 - y * y;
    case UnaryFunction::kClip:
      return y > p.alpha && y < p.beta ? 1 : 0;
    case UnaryFunction::kLinear:
      return p.alpha;
    case UnaryFunction::kErf:
      return 2 / std::sqrt(M_PI) * std::exp(-y * y);
    case UnaryFunction::kGelu:
      return NormalDistribution(y) + y * std::exp(-y * y / 2) / std::sqrt(2 * M_PI);
  }
  return 1;
}

double Apply(BinaryFunction function, double a, double b) {
  switch (function) {
    case BinaryFunction::kAdd:
      return a + b;
    case BinaryFunction::kSub:
      return a - b;
    case BinaryFunction::kMul:
      return a * b;
    case BinaryFunction::kDiv:
      return a / b;
  }
  return a;
}

}  // namespace

void Reorder(const OpDescription& op, Buffers buffers) {
  std::memmove(buffers[1], buffers[0], op.operands[0].bytes());
}

void UnaryForward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<UnaryParameters>(op.parameters);
  const int64_t count = op.operands[0].shape.element_count();
  for (int64_t i = 0; i < count; ++i) {
    F32(buffers, 1)[i] = static_cast<float>(Apply(p, F32(buffers, 0)[i]));
  }
}

void UnaryBackward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<UnaryParameters>(op.parameters);
  const int64_t count = op.operands[0].shape.element_count();
  for (int64_t i = 0; i < count; ++i) {
    const double derivative = Derivative(p, F32(buffers, 0)[i]);
    F32(buffers, 2)[i] = static_cast<float>(derivative * F32(buffers, 1)[i]);
  }
}

void Binary(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<BinaryParameters>(op.parameters);
  const Shape& dst = op.operands[2].shape;
  const std::array<Shape::Dims, 2> strides = {BroadcastStrides(op.operands[0].shape, dst),
                                              BroadcastStrides(op.operands[1].shape, dst)};
  const float* a = F32(buffers, 0);
  const float* b = F32(buffers, 1);
  ForEachElement(dst, strides, [&](int64_t i, const std::array<int64_t, 2>& offset) {
    double value = Apply(p.function, a[offset[0]], b[offset[1]]);
    if (p.fused_relu) value = std::max(value, 0.0);
    F32(buffers, 2)[i] = static_cast<float>(value);
  });
}

void ReduceSum(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ReduceSumParameters>(op.parameters);
  const Shape& src = op.operands[0].shape;
  const Shape& dst = op.operands[1].shape;
  std::vector<double> sums(dst.element_count());
  const std::array<Shape::Dims, 1> strides = {BroadcastStrides(dst, src)};
  ForEachElement(src, strides, [&](int64_t i, const std::array<int64_t, 1>& offset) {
    sums[offset[0]] += F32(buffers, 0)[i];
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    F32(buffers, 1)[i] = static_cast<float>(p.scale * sums[i]);
  }
}

void Dropout(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<DropoutParameters>(op.parameters);
  const int64_t count = op.operands[0].shape.element_count();
  std::vector<float> factors(count);
  DropoutFactors(p, 0, absl::MakeSpan(factors));
  for (int64_t i = 0; i < count; ++i) F32(buffers, 1)[i] = F32(buffers, 0)[i] * factors[i];
}

}  // namespace reference
}  // namespace topiary
