#include "worker/kernels/blocksparse/block_sparse_convolution.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

absl::Status CheckPlan(const BlockSparsePattern& pattern, const ConvolutionShape& shape,
                       int threads) {
  const int64_t pixels = shape.height.dst * shape.width.dst;
  if (threads < 1 || shape.batch < 1 || pixels < 1 || shape.groups < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a convolution of ", shape.batch, " images to ",
                                                   pixels, " pixels in ", shape.groups,
                                                   " groups on ", threads, " threads is none"));
  }
  const int64_t rows = shape.taps() * shape.src_channels / shape.groups;
  const int64_t cols = shape.dst_channels / shape.groups;
  if (pattern.groups == shape.groups && pattern.rows == rows && pattern.cols == cols) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a convolution's weight is ", shape.groups, " x ", rows, " x ", cols,
      ", but the pattern is of ", pattern.groups, " x ", pattern.rows, " x ", pattern.cols));
}

GatherAxis ForwardAxis(const ConvolutionAxis& axis) {
  GatherAxis gather;
  gather.rows = gather.target = axis.dst;
  gather.source = axis.src;
  gather.step = axis.stride;
  gather.offsets.clear();
  for (int64_t k = 0; k < axis.kernel; ++k) gather.offsets.push_back(k * axis.dilation - axis.pad);
  return gather;
}

GatherShape ForwardShape(const ConvolutionShape& shape) {
  GatherShape gather;
  gather.images = shape.batch;
  gather.height = ForwardAxis(shape.height);
  gather.width = ForwardAxis(shape.width);
  gather.inputs = shape.src_channels;
  gather.outputs = shape.dst_channels;
  return gather;
}

// Where element [dst channel, src channel of its group, tap] of the weights lies.
int64_t WeightOffset(const ConvolutionShape& shape, int64_t dst_channel, int64_t src_channel,
                     int64_t tap) {
  const int64_t channels = shape.src_channels / shape.groups;
  return (dst_channel * channels + src_channel % channels) * shape.taps() + tap;
}

// The pixels phase, phase + stride, ... of src, which the same taps reach: pixel i of src and tap k
// meet in pixel (i + pad - k * dilation) / stride of dst where that is whole. `taps` gets those
// taps' places in the kernel.
GatherAxis GradientAxis(const ConvolutionAxis& axis, int64_t phase, std::vector<int64_t>* taps) {
  GatherAxis gather;
  gather.rows = (axis.src - phase + axis.stride - 1) / axis.stride;
  gather.source = axis.dst;
  gather.target = axis.src;
  gather.target_step = axis.stride;
  gather.target_offset = phase;
  gather.offsets.clear();
  for (int64_t k = 0; k < axis.kernel; ++k) {
    const int64_t distance = phase + axis.pad - k * axis.dilation;
    if (distance % axis.stride != 0) continue;
    gather.offsets.push_back(distance / axis.stride);
    taps->push_back(k);
  }
  return gather;
}

}  // namespace

absl::StatusOr<BlockSparseConvolution> BlockSparseConvolution::Forward(
    const BlockSparsePattern& pattern, const ConvolutionShape& shape, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, shape, threads); !status.ok()) return status;
  BlockSparseConvolution result(shape, /*forward=*/true, threads);
  result.AddForward(pattern, BlockKernelsFor(isa));
  return result;
}

absl::StatusOr<BlockSparseConvolution> BlockSparseConvolution::DataGradient(
    const BlockSparsePattern& pattern, const ConvolutionShape& shape, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, shape, threads); !status.ok()) return status;
  BlockSparseConvolution result(shape, /*forward=*/false, threads);
  const BlockKernels& kernels = BlockKernelsFor(isa);
  for (int64_t h = 0; h < std::min(shape.height.stride, shape.height.src); ++h) {
    for (int64_t w = 0; w < std::min(shape.width.stride, shape.width.src); ++w) {
      result.AddDataGradient(pattern, kernels, h, w);
    }
  }
  return result;
}

// Blocks may reach over several taps: each gets a term of its own.
void BlockSparseConvolution::AddForward(const BlockSparsePattern& pattern,
                                        const BlockKernels& kernels) {
  GatherShape gather = ForwardShape(shape_);
  const int64_t channels = shape_.src_channels / shape_.groups;
  const bool along_columns =
      GoesAlongColumns(gather, pattern.block_cols, pattern.kept_elements(), kernels);
  const int64_t tap_inputs = along_columns ? 0 : gather.inputs;

  BlockColumns columns;
  const BlockSparsePattern by_output = pattern.Transposed();
  for (int64_t j = 0; j < by_output.groups * by_output.down(); ++j) {
    const int64_t group = by_output.GroupOf(j), width = by_output.RowsOf(j);
    columns.AddColumn(group * pattern.cols + by_output.RowOf(j), width,
                      along_columns ? RoundUp(width, kernels.lanes) : width);
    for (int32_t k = by_output.crow_indices[j]; k < by_output.crow_indices[j + 1]; ++k) {
      const int64_t i = by_output.col_indices[k];
      const int64_t end = by_output.ColOf(i) + by_output.ColsOf(i);
      for (int64_t row = by_output.ColOf(i); row < end;) {
        const int64_t tap = row / channels, channel = row % channels;
        const int64_t depth = std::min(end - row, channels - channel);
        columns.AddTerm(tap, tap * tap_inputs + group * channels + channel, depth);
        row += depth;
      }
    }
  }
  std::vector<int64_t> taps(shape_.taps());
  std::iota(taps.begin(), taps.end(), 0);
  parts_.push_back(
      {GatheredProduct(std::move(gather), std::move(columns), kernels, along_columns, threads_),
       std::move(taps)});
}

// The columns are channels of src now, as many as all taps see in the same blocks.
void BlockSparseConvolution::AddDataGradient(const BlockSparsePattern& pattern,
                                             const BlockKernels& kernels, int64_t height_phase,
                                             int64_t width_phase) {
  GatherShape gather;
  std::vector<int64_t> height_taps, width_taps, taps;
  gather.images = shape_.batch;
  gather.height = GradientAxis(shape_.height, height_phase, &height_taps);
  gather.width = GradientAxis(shape_.width, width_phase, &width_taps);
  gather.inputs = shape_.dst_channels;
  gather.outputs = shape_.src_channels;
  for (const int64_t h : height_taps) {
    for (const int64_t w : width_taps) taps.push_back(h * shape_.width.kernel + w);
  }
  const int64_t channels = shape_.src_channels / shape_.groups;
  const int64_t width = std::gcd(channels, pattern.block_rows);
  const bool along_columns = GoesAlongColumns(gather, width, pattern.kept_elements(), kernels);
  const int64_t tap_inputs = along_columns ? 0 : gather.inputs;

  BlockColumns columns;
  for (int64_t output = 0; output < shape_.src_channels; output += width) {
    columns.AddColumn(output, width, along_columns ? RoundUp(width, kernels.lanes) : width);
    const int64_t group = output / channels, channel = output % channels;
    for (size_t t = 0; t < taps.size(); ++t) {
      const int64_t tap = static_cast<int64_t>(t);
      const int64_t i =
          group * pattern.down() + (taps[t] * channels + channel) / pattern.block_rows;
      for (int32_t k = pattern.crow_indices[i]; k < pattern.crow_indices[i + 1]; ++k) {
        const int64_t j = pattern.col_indices[k];
        columns.AddTerm(tap, tap * tap_inputs + group * pattern.cols + pattern.ColOf(j),
                        pattern.ColsOf(j));
      }
    }
  }
  parts_.push_back(
      {GatheredProduct(std::move(gather), std::move(columns), kernels, along_columns, threads_),
       std::move(taps)});
}

int64_t BlockSparseConvolution::packed_floats() const {
  int64_t floats = 0;
  for (const Part& part : parts_) {
    floats += RoundUp(part.product.columns().packed_floats(), kLineFloats);
  }
  return floats;
}

MatrixView BlockSparseConvolution::BlockAt(const Part& part, const float* weights,
                                           const BlockTerm& term, int64_t output) const {
  const int64_t input = part.product.ChannelOf(term), tap = part.taps[term.tap];
  const int64_t src_stride = shape_.taps();
  const int64_t dst_stride = shape_.src_channels / shape_.groups * src_stride;
  if (forward_) {
    return {weights + WeightOffset(shape_, output, input, tap), src_stride, dst_stride};
  }
  return {weights + WeightOffset(shape_, input, output, tap), dst_stride, src_stride};
}

void BlockSparseConvolution::Pack(const float* weights, float* packed) const {
  for (const Part& part : parts_) {
    const BlockColumns& columns = part.product.columns();
    columns.Pack(
        [&](const BlockTerm& term, int64_t output) { return BlockAt(part, weights, term, output); },
        1, threads_, packed);
    packed += RoundUp(columns.packed_floats(), kLineFloats);
  }
}

bool BlockSparseConvolution::PacksLike(const BlockSparseConvolution& other) const {
  const auto same = [](const Part& a, const Part& b) {
    return a.taps == b.taps && a.product.columns() == b.product.columns();
  };
  return forward_ == other.forward_ && shape_.groups == other.shape_.groups &&
         shape_.src_channels == other.shape_.src_channels &&
         shape_.dst_channels == other.shape_.dst_channels && shape_.taps() == other.shape_.taps() &&
         std::equal(parts_.begin(), parts_.end(), other.parts_.begin(), other.parts_.end(), same);
}

int64_t BlockSparseConvolution::scratch_floats() const {
  int64_t floats = 0;
  for (const Part& part : parts_) floats = std::max(floats, part.product.scratch_floats());
  return floats;
}

void BlockSparseConvolution::Run(const float* x, const float* packed, const float* bias, bool relu,
                                 float* scratch, float* y) const {
  for (const Part& part : parts_) {
    part.product.Run(x, packed, bias, relu, scratch, y);
    packed += RoundUp(part.product.columns().packed_floats(), kLineFloats);
  }
}

absl::StatusOr<BlockSparseKernelGradient> BlockSparseKernelGradient::Create(
    const BlockSparsePattern& pattern, const ConvolutionShape& shape, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, shape, threads); !status.ok()) return status;
  return BlockSparseKernelGradient(
      shape, GatheredWeightGradient(pattern, ForwardShape(shape), BlockKernelsFor(isa), threads));
}

void BlockSparseKernelGradient::Run(const float* src, const float* d_dst, float* d_weights,
                                    float* scratch) const {
  const int64_t src_stride = shape_.taps();
  const int64_t dst_stride = shape_.src_channels / shape_.groups * src_stride;
  const auto part_at = [&](const WeightPart& part) {
    return MutableMatrixView{d_weights + WeightOffset(shape_, part.output, part.input, part.tap),
                             src_stride, dst_stride};
  };
  gradient_.Run(src, d_dst, part_at, 1, scratch);
}

}  // namespace topiary
