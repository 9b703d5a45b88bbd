#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

// Calls visit(start, stride, length) for every line of `shape` along `axis`.
template <typename Visit>
void ForEachLine(const Shape& shape, int axis, Visit visit) {
  const int64_t length = shape[axis];
  int64_t stride = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) stride *= shape[i];
  if (length * stride == 0) return;
  const int64_t outer = shape.element_count() / (length * stride);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < stride; ++i) visit(o * length * stride + i, stride, length);
  }
}

}  // namespace

void SoftmaxForward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<SoftmaxParameters>(op.parameters);
  const float* src = F32(buffers, 0);
  float* dst = F32(buffers, 1);
  ForEachLine(op.operands[0].shape, p.axis, [&](int64_t start, int64_t stride, int64_t length) {
    double largest = src[start];
    for (int64_t i = 1; i < length; ++i) {
      largest = std::max<double>(largest, src[start + i * stride]);
    }
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += std::exp(src[start + i * stride] - largest);
    for (int64_t i = 0; i < length; ++i) {
      const double shifted = src[start + i * stride] - largest;
      dst[start + i * stride] =
          static_cast<float>(p.log ? shifted - std::log(sum) : std::exp(shifted) / sum);
    }
  });
}

// Softmax: d_src = y * (d_y - <d_y, y>). Its logarithm: d_src = d_y - exp(y) * sum d_y.
void SoftmaxBackward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<SoftmaxParameters>(op.parameters);
  const float* dst = F32(buffers, 0);
  const float* d_dst = F32(buffers, 1);
  float* d_src = F32(buffers, 2);
  ForEachLine(op.operands[0].shape, p.axis, [&](int64_t start, int64_t stride, int64_t length) {
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) {
      const int64_t at = start + i * stride;
      sum += p.log ? d_dst[at] : double{d_dst[at]} * dst[at];
    }
    for (int64_t i = 0; i < length; ++i) {
      const int64_t at = start + i * stride;
      const double y = dst[at];
      d_src[at] = static_cast<float>(p.log ? d_dst[at] - std::exp(y) * sum : y * (d_dst[at] - sum));
    }
  });
}

}  // namespace reference
}  // namespace topiary
