#include <algorithm>
#include <cmath>
#include <vector>

#include "common/check.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

// One matrix of a stack: element (row, column) of op(x) at data[row * row_stride + column *
// column_stride].
struct Matrix {
  const float* data;
  int64_t row_stride;
  int64_t column_stride;
};

Matrix View(const float* data, const Shape& shape, bool transpose) {
  const int64_t columns = shape[shape.rank() - 1];
  return transpose ? Matrix{data, 1, columns} : Matrix{data, columns, 1};
}

// Start of the matrix of `shape` that belongs to the `index`-th matrix of a stack of extents `dst`.
int64_t BatchOffset(const Shape& shape, const Shape& dst, int64_t index) {
  const int rank = dst.rank();
  int64_t stride = shape[rank - 1] * shape[rank - 2];
  int64_t offset = 0;
  for (int axis = rank - 3; axis >= 0; --axis) {
    const int64_t coordinate = index % dst[axis];
    index /= dst[axis];
    if (shape[axis] != 1) offset += coordinate * stride;
    stride *= shape[axis];
  }
  return offset;
}

double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

// `residual` and `dst` are the row's; bias and residual may be null.
void MultiplyRow(const MatMulParameters& p, const Matrix& a, const Matrix& b, const float* bias,
                 const float* residual, int64_t depth, int64_t row, std::vector<double>* sums,
                 float* dst) {
  std::fill(sums->begin(), sums->end(), 0.0);
  const int64_t columns = static_cast<int64_t>(sums->size());
  for (int64_t k = 0; k < depth; ++k) {
    const double factor = a.data[row * a.row_stride + k * a.column_stride];
    const float* b_row = b.data + k * b.row_stride;
    for (int64_t j = 0; j < columns; ++j) {
      if (p.b_pattern != nullptr && !p.b_pattern->Keeps(k, j)) continue;
      (*sums)[j] += factor * b_row[j * b.column_stride];
    }
  }
  for (int64_t j = 0; j < columns; ++j) {
    if (p.dst_pattern != nullptr && !p.dst_pattern->Keeps(row, j)) continue;
    double value = p.alpha * (*sums)[j];
    if (bias != nullptr) value += bias[j];
    if (residual != nullptr) value += residual[j];
    if (p.fused_relu) value = std::max(value, 0.0);
    if (p.fused_gelu) value = Gelu(value);
    dst[j] = static_cast<float>(p.accumulate ? dst[j] + value : value);
  }
}

}  // namespace

void MatMul(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<MatMulParameters>(op.parameters);
  const MatMulOrder order(p);
  const Shape& a_shape = op.operands[order.a].shape;
  const Shape& b_shape = op.operands[order.b].shape;
  const Shape& dst_shape = op.operands[order.dst].shape;
  const int rank = dst_shape.rank();
  CHECK(rank >= 2 && a_shape.rank() == rank && b_shape.rank() == rank);
  const int64_t rows = dst_shape[rank - 2];
  const int64_t columns = dst_shape[rank - 1];
  const int64_t depth = a_shape[p.transpose_a ? rank - 2 : rank - 1];
  CHECK_EQ(depth, b_shape[p.transpose_b ? rank - 1 : rank - 2]);
  if (rows * columns == 0) return;
  const int64_t batches = dst_shape.element_count() / (rows * columns);
  const float* bias = order.bias < 0 ? nullptr : F32(buffers, order.bias);
  std::vector<double> sums(columns);
  for (int64_t batch = 0; batch < batches; ++batch) {
    const Matrix a = View(F32(buffers, order.a) + BatchOffset(a_shape, dst_shape, batch), a_shape,
                          p.transpose_a);
    const Matrix b = View(F32(buffers, order.b) + BatchOffset(b_shape, dst_shape, batch), b_shape,
                          p.transpose_b);
    float* dst = F32(buffers, order.dst) + batch * rows * columns;
    const float* residual =
        order.residual < 0 ? nullptr : F32(buffers, order.residual) + batch * rows * columns;
    for (int64_t i = 0; i < rows; ++i) {
      MultiplyRow(p, a, b, bias, residual == nullptr ? nullptr : residual + i * columns, depth, i,
                  &sums, dst + i * columns);
    }
  }
}

}  // namespace reference
}  // namespace topiary
