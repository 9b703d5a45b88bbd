// kMatMul and convolutions with patterns, by worker/kernels/blocksparse, and kReorder of their
// weights.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/blocksparse/block_sparse_convolution.h"
#include "worker/kernels/blocksparse/block_sparse_matmul.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// [rows, columns] or, read with its axes swapped, [columns, rows].
MatrixView ViewOf(const float* data, const Shape& shape, bool transpose) {
  return transpose ? MatrixView{data, 1, shape[1]} : MatrixView{data, shape[1], 1};
}

// The kept blocks of a weight, packed for a product.
class PackedBlocksLayout : public OpaqueLayout {
 public:
  std::string ToString() const override { return "packed blocks"; }

  // From a plain weight of shape `shape`.
  virtual void Pack(const float* weights, const Shape& shape, float* packed) const = 0;
};

class PackedMatrixLayout final : public PackedBlocksLayout {
 public:
  PackedMatrixLayout(std::shared_ptr<const BlockSparseMatMul> product, bool transpose, float factor)
      : product_(std::move(product)), transpose_(transpose), factor_(factor) {}

  size_t bytes() const override { return product_->packed_floats() * sizeof(float); }
  bool Equals(const OpaqueLayout& other) const override {
    const auto* packed = dynamic_cast<const PackedMatrixLayout*>(&other);
    return packed != nullptr && transpose_ == packed->transpose_ && factor_ == packed->factor_ &&
           product_->PacksLike(*packed->product_);
  }
  void Pack(const float* weights, const Shape& shape, float* packed) const override {
    product_->Pack(ViewOf(weights, shape, transpose_), factor_, packed);
  }

 private:
  const std::shared_ptr<const BlockSparseMatMul> product_;
  const bool transpose_;
  const float factor_;
};

class PackedKernelLayout final : public PackedBlocksLayout {
 public:
  explicit PackedKernelLayout(std::shared_ptr<const BlockSparseConvolution> convolution)
      : convolution_(std::move(convolution)) {}

  size_t bytes() const override { return convolution_->packed_floats() * sizeof(float); }
  bool Equals(const OpaqueLayout& other) const override {
    const auto* packed = dynamic_cast<const PackedKernelLayout*>(&other);
    return packed != nullptr && convolution_->PacksLike(*packed->convolution_);
  }
  void Pack(const float* weights, const Shape&, float* packed) const override {
    convolution_->Pack(weights, packed);
  }

 private:
  const std::shared_ptr<const BlockSparseConvolution> convolution_;
};

const PackedBlocksLayout* PackedBlocksOf(const TensorDescription& description) {
  return dynamic_cast<const PackedBlocksLayout*>(description.layout.opaque());
}

// The weights of a product: packed where any layout will do. Those that are given plain, as in
// training, where they change with each step, are packed by each run.
class BlockWeights {
 public:
  static absl::StatusOr<BlockWeights> Settle(std::shared_ptr<const PackedBlocksLayout> packed,
                                             TensorDescription* weights) {
    if (weights->layout.is_any()) weights->layout = Layout::Opaque(packed);
    const bool is_plain = weights->layout.is_plain();
    if (!is_plain && weights->layout != Layout::Opaque(packed)) {
      return absl::UnimplementedError("weights of another layout");
    }
    return BlockWeights(std::move(packed), weights->shape, is_plain);
  }

  // Memory for a copy of one's own.
  size_t scratch_bytes() const { return is_plain_ ? packed_->bytes() : 0; }

  const float* Packed(const float* weights, float* scratch) const {
    if (!is_plain_) return weights;
    packed_->Pack(weights, shape_, scratch);
    return scratch;
  }

 private:
  BlockWeights(std::shared_ptr<const PackedBlocksLayout> packed, Shape shape, bool is_plain)
      : packed_(std::move(packed)), shape_(std::move(shape)), is_plain_(is_plain) {}

  std::shared_ptr<const PackedBlocksLayout> packed_;
  Shape shape_;
  bool is_plain_;
};

// What the kernels of the product do not do themselves.
struct RestOfProduct {
  const SimdKernels* simd;
  bool relu;
  bool gelu;
  const float* residual;  // Null: none.
  float* dst;
  int64_t columns;

  bool empty() const { return residual == nullptr && !gelu; }
  void operator()(int64_t first, int64_t count) const {
    const int64_t n = count * columns;
    float* const rows = dst + first * columns;
    if (residual != nullptr) {
      simd->binary({BinaryFunction::kAdd, relu}, n, rows, 1, residual + first * columns, 1, rows);
    }
    if (gelu) simd->unary_forward({UnaryFunction::kGelu, 0, 0}, n, rows, rows);
  }
};

KernelOr PlanSparseProduct(const CpuContext& context, const MatMulParameters& p,
                           std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseMatMul product,
                   BlockSparseMatMul::Create(*p.b_pattern, operands[order.a].shape[0],
                                             context.simd->isa, context.threads));
  const auto shared = std::make_shared<const BlockSparseMatMul>(std::move(product));
  ASSIGN_OR_RETURN(const BlockWeights weights,
                   BlockWeights::Settle(
                       std::make_shared<const PackedMatrixLayout>(shared, p.transpose_b, p.alpha),
                       &operands[order.b]));
  // The copy comes after the panels, which fill whole cache lines.
  const int64_t panels = shared->scratch_floats();
  const size_t scratch = panels * sizeof(float) + weights.scratch_bytes();
  const int64_t columns = operands[order.dst].shape[1];
  const SimdKernels* const simd = context.simd;
  return MakeOwnKernel(std::move(operands), scratch, [=](const KernelMemory& m) {
    float* work = m.Scratch();
    const float* residual = p.has_residual ? m.At(order.residual) : nullptr;
    const RestOfProduct rest{simd, p.fused_relu, p.fused_gelu, residual, m.At(order.dst), columns};
    FinishRows finish;
    if (!rest.empty()) finish = std::cref(rest);
    shared->Run(m.At(order.a), weights.Packed(m.At(order.b), work + panels),
                order.bias < 0 ? nullptr : m.At(order.bias), p.fused_relu && rest.empty(), work,
                m.At(order.dst), finish);
  });
}

KernelOr PlanSparseGradient(const CpuContext& context, const MatMulParameters& p,
                            std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseWeightGradient gradient,
                   BlockSparseWeightGradient::Create(*p.dst_pattern, operands[order.a].shape[0],
                                                     context.simd->isa, context.threads));
  const int64_t columns = operands[order.dst].shape[1];
  const auto shared = std::make_shared<const BlockSparseWeightGradient>(std::move(gradient));
  return MakeOwnKernel(std::move(operands), shared->scratch_floats() * sizeof(float),
                       [p, order, columns, shared](const KernelMemory& m) {
                         shared->Run(m.At(order.a), m.At(order.b), {m.At(order.dst), columns, 1},
                                     p.alpha, m.Scratch());
                       });
}

// A pattern of another matrix would have the kernels read and write beyond the operands.
absl::Status CheckExtents(const MatMulParameters& p, absl::Span<const TensorDescription> operands) {
  const MatMulOrder order(p);
  const Shape& a = operands[order.a].shape;
  const Shape& b = operands[order.b].shape;
  const Shape& dst = operands[order.dst].shape;
  if (a.rank() != 2 || b.rank() != 2 || dst.rank() != 2) {
    return absl::InvalidArgumentError("a block-sparse product takes matrices");
  }
  const bool product = p.b_pattern == nullptr || (p.b_pattern->rows == b[p.transpose_b ? 1 : 0] &&
                                                  p.b_pattern->cols == b[p.transpose_b ? 0 : 1]);
  const bool gradient =
      p.dst_pattern == nullptr || (p.dst_pattern->rows == dst[0] && p.dst_pattern->cols == dst[1]);
  if (product && gradient) return absl::OkStatus();
  return absl::InvalidArgumentError("the pattern of a block-sparse product is of another matrix");
}

ConvolutionShape ShapeOf(const ConvolutionParameters& p, const Shape& src, const Shape& weights,
                         const Shape& dst) {
  ConvolutionShape shape;
  shape.batch = src[0];
  shape.groups = p.groups;
  shape.src_channels = src[1];
  shape.dst_channels = dst[1];
  const int spatial = src.rank() - 2;
  for (int i = 0; i < spatial; ++i) {
    ConvolutionAxis& axis = i + 1 == spatial ? shape.width : shape.height;
    axis = {src[2 + i], dst[2 + i], weights[2 + i], p.strides[i], p.dilations[i], p.pads_begin[i]};
  }
  return shape;
}

// Channels last where any layout will do.
absl::Status SettleChannelsLast(TensorDescription* activation) {
  const TensorDescription last =
      DescribedBy(activation->shape, activation->dtype, ChannelsLastDesc(activation->shape));
  if (activation->layout.is_any()) activation->layout = last.layout;
  if (*activation == last) return absl::OkStatus();
  return absl::UnimplementedError("block-sparse convolutions are channels last");
}

// sums[c] = the sum of column c of a matrix [rows, columns].
void SumOfRows(const float* matrix, int64_t rows, int64_t columns, int threads, float* sums) {
  constexpr int64_t kStrip = 32;
  constexpr int64_t kGrain = 1 << 17;
  ParallelFor(threads, columns, columns * kGrain / std::max(rows * columns, kGrain), kStrip,
              [&](int64_t begin, int64_t end, int) {
                for (int64_t first = begin; first < end; first += kStrip) {
                  const int64_t count = std::min(kStrip, end - first);
                  double strip[kStrip] = {};
                  for (int64_t r = 0; r < rows; ++r) {
                    const float* row = matrix + r * columns + first;
                    for (int64_t c = 0; c < count; ++c) strip[c] += row[c];
                  }
                  for (int64_t c = 0; c < count; ++c) {
                    sums[first + c] = static_cast<float>(strip[c]);
                  }
                }
              });
}

}  // namespace

bool PacksBlocks(const OpDescription& op) {
  return op.kind == OpKind::kReorder && PackedBlocksOf(op.operands[1]) != nullptr;
}

KernelOr PlanPackBlocks(const OpDescription& op) {
  if (!op.operands[0].layout.is_plain()) {
    return absl::UnimplementedError("packing of plain weights only");
  }
  const TensorDescription& packed = op.operands[1];
  return MakeOwnKernel(op.operands, 0, [packed](const KernelMemory& m) {
    PackedBlocksOf(packed)->Pack(m.At(0), packed.shape, m.At(1));
  });
}

KernelOr PlanBlockSparseMatMul(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<MatMulParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  const MatMulOrder order(p);
  // All are plain, but the weights, which may be packed.
  Layout weights;
  if (p.b_pattern != nullptr) weights = std::exchange(operands[order.b].layout, Layout::Plain());
  RETURN_IF_ERROR(SettlePlain(&operands));
  operands[order.b].layout = weights;
  if (p.accumulate) return absl::UnimplementedError("a block-sparse product that adds to dst");
  RETURN_IF_ERROR(CheckExtents(p, operands));
  if (p.b_pattern != nullptr && p.dst_pattern == nullptr && !p.transpose_a) {
    return PlanSparseProduct(context, p, std::move(operands));
  }
  if (p.dst_pattern != nullptr && p.b_pattern == nullptr && p.transpose_a && !p.transpose_b) {
    return PlanSparseGradient(context, p, std::move(operands));
  }
  return absl::UnimplementedError("a block-sparse product of these operands");
}

KernelOr PlanBlockSparseConvolution(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  if (p.accumulate) return absl::UnimplementedError("a block-sparse convolution that adds");
  const bool forward = op.kind == OpKind::kConvolutionForward;
  std::vector<TensorDescription> operands = op.operands;
  const ConvolutionForwardOrder order(p);
  // The gradient of the data has the same operands: what is read, the weights, what is written.
  const int read = order.src, written = forward ? order.dst : 2;
  RETURN_IF_ERROR(SettleChannelsLast(&operands[read]));
  RETURN_IF_ERROR(SettleChannelsLast(&operands[written]));
  const Shape& src = operands[forward ? read : written].shape;
  const Shape& dst = operands[forward ? written : read].shape;
  const ConvolutionShape shape = ShapeOf(p, src, operands[order.weights].shape, dst);
  const auto create =
      forward ? BlockSparseConvolution::Forward : BlockSparseConvolution::DataGradient;
  ASSIGN_OR_RETURN(BlockSparseConvolution convolution,
                   create(*p.pattern, shape, context.simd->isa, context.threads));
  const auto shared = std::make_shared<const BlockSparseConvolution>(std::move(convolution));
  ASSIGN_OR_RETURN(const BlockWeights weights,
                   BlockWeights::Settle(std::make_shared<const PackedKernelLayout>(shared),
                                        &operands[order.weights]));
  const int bias = forward && p.has_bias ? order.bias : -1;
  if (bias >= 0 && operands[bias].layout.is_any()) operands[bias].layout = Layout::Plain();
  const int64_t tables = shared->scratch_floats();
  const size_t scratch = tables * sizeof(float) + weights.scratch_bytes();
  return MakeOwnKernel(std::move(operands), scratch, [=](const KernelMemory& m) {
    float* work = m.Scratch();
    shared->Run(m.At(read), weights.Packed(m.At(order.weights), work + tables),
                bias < 0 ? nullptr : m.At(bias), forward && p.fused_relu, work, m.At(written));
  });
}

KernelOr PlanBlockSparseKernelGradient(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  if (p.accumulate) return absl::UnimplementedError("a block-sparse gradient that adds");
  const ConvolutionBackwardWeightsOrder order(p);
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettleChannelsLast(&operands[order.src]));
  RETURN_IF_ERROR(SettleChannelsLast(&operands[order.d_dst]));
  std::vector<TensorDescription> gradients(operands.begin() + order.d_weights, operands.end());
  RETURN_IF_ERROR(SettlePlain(&gradients));
  std::copy(gradients.begin(), gradients.end(), operands.begin() + order.d_weights);
  const Shape dst = operands[order.d_dst].shape;
  const ConvolutionShape shape =
      ShapeOf(p, operands[order.src].shape, operands[order.d_weights].shape, dst);
  ASSIGN_OR_RETURN(
      BlockSparseKernelGradient gradient,
      BlockSparseKernelGradient::Create(*p.pattern, shape, context.simd->isa, context.threads));
  const auto shared = std::make_shared<const BlockSparseKernelGradient>(std::move(gradient));
  const int threads = context.threads;
  return MakeOwnKernel(
      std::move(operands), shared->scratch_floats() * sizeof(float), [=](const KernelMemory& m) {
        const float* d_dst = m.At(order.d_dst);
        shared->Run(m.At(order.src), d_dst, m.At(order.d_weights), m.Scratch());
        if (order.d_bias < 0) return;
        SumOfRows(d_dst, dst.element_count() / dst[1], dst[1], threads, m.At(order.d_bias));
      });
}

}  // namespace topiary
