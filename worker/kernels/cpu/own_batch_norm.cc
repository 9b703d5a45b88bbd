// BatchNorm in two passes over memory, forward and backward, with ReLU, the residual sum and the
// sum of two gradients done on the way. Variances are summed around the mean of
// the first image, so that one pass is enough and a large mean costs no precision.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/channel_tiles.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Elements of an activation for which a second thread starts to pay.
constexpr int64_t kGrain = 4096;

// Gives the activations among `operands` (indices; -1: absent) one layout. UNIMPLEMENTED where they
// come with two, or with one that ChannelTiles does not know.
absl::StatusOr<ChannelTiles> SettleActivations(absl::Span<const int> activations,
                                               std::vector<TensorDescription>* operands) {
  Layout layout;
  for (const int i : activations) {
    if (i >= 0 && !(*operands)[i].layout.is_any()) {
      layout = (*operands)[i].layout;
      break;
    }
  }
  for (const int i : activations) {
    if (i < 0) continue;
    TensorDescription& operand = (*operands)[i];
    if (operand.layout.is_any()) operand.layout = layout;
    if (operand.layout != layout) {
      return absl::UnimplementedError(absl::StrCat("BatchNorm of two layouts, ", layout.ToString(),
                                                   " and ", operand.layout.ToString()));
    }
  }
  for (TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
  }
  const absl::optional<ChannelTiles> tiles = ChannelTiles::Of((*operands)[activations[0]]);
  if (!tiles) {
    return absl::UnimplementedError(absl::StrCat("BatchNorm of layout ", layout.ToString()));
  }
  return *tiles;
}

// Arrays in the scratch area: `arrays` of one float per column; then for each thread two of one
// double per column (partial sums) and two of one float per column of a panel.
class Scratch {
 public:
  Scratch(const ChannelTiles& tiles, int arrays, int threads, void* memory)
      : tiles_(tiles), arrays_(arrays), threads_(threads), memory_(static_cast<char*>(memory)) {}

  size_t bytes() const { return TotalsOffset() + 2 * tiles_.columns() * sizeof(double); }
  float* Array(int i) const { return reinterpret_cast<float*>(memory_) + i * tiles_.columns(); }
  double* Partials(int thread) const {
    return reinterpret_cast<double*>(memory_ + PartialsOffset(thread));
  }
  float* PanelSums(int thread) const {
    return reinterpret_cast<float*>(Partials(thread) + 2 * tiles_.columns());
  }
  // Two numbers per channel: all of the first, then all of the second.
  double* Totals() const { return reinterpret_cast<double*>(memory_ + TotalsOffset()); }

 private:
  static size_t RoundedUp(size_t bytes) { return (bytes + 63) / 64 * 64; }
  size_t PartialsOffset(int thread) const {
    const size_t per_thread = RoundedUp(2 * tiles_.columns() * sizeof(double) +
                                        2 * tiles_.panel_columns() * sizeof(float));
    return RoundedUp(arrays_ * tiles_.columns() * sizeof(float)) + thread * per_thread;
  }
  size_t TotalsOffset() const { return PartialsOffset(threads_); }

  const ChannelTiles& tiles_;
  int arrays_;
  int threads_;
  char* memory_;
};

// Sums two numbers per channel over the tiles [0, tiles): add(panel, offset, column, first, second)
// adds those of a panel to its columns. Threads sum apart; their sums are added in order.
template <typename Add>
void SumChannels(const ChannelTiles& tiles, int64_t count, int threads, const Scratch& scratch,
                 Add add) {
  const int64_t columns = tiles.columns(), grain = kGrain / tiles.elements_per_tile() + 1;
  ParallelFor(threads, count, grain, 1, [&](int64_t begin, int64_t end, int thread) {
    double* partials = scratch.Partials(thread);
    float* first = scratch.PanelSums(thread);
    float* second = first + tiles.panel_columns();
    std::fill(partials, partials + 2 * columns, 0.0);
    for (int64_t tile = begin; tile < end; ++tile) {
      tiles.ForEachPanel(tile, [&](const Panel& panel, int64_t offset, int64_t column) {
        std::fill(first, first + panel.width, 0.0f);
        std::fill(second, second + panel.width, 0.0f);
        add(panel, offset, column, first, second);
        for (int64_t i = 0; i < panel.width; ++i) {
          partials[column + i] += first[i];
          partials[columns + column + i] += second[i];
        }
      });
    }
  });
  double* totals = scratch.Totals();
  std::fill(totals, totals + 2 * tiles.channels(), 0.0);
  const int team = TeamSize(threads, count, grain);
  for (int thread = 0; thread < team; ++thread) {
    const double* partials = scratch.Partials(thread);
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t channel = tiles.ChannelOf(column);
      if (channel < 0) continue;
      totals[channel] += partials[column];
      totals[tiles.channels() + channel] += partials[columns + column];
    }
  }
}

// Calls apply(panel, offset, column) over all tiles, the last ones first: those are still in
// the cache from the pass that summed.
template <typename Apply>
void ApplyToTiles(const ChannelTiles& tiles, int threads, Apply apply) {
  const int64_t grain = kGrain / tiles.elements_per_tile() + 1;
  ParallelFor(threads, tiles.tiles(), grain, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t tile = end - 1; tile >= begin; --tile) tiles.ForEachPanel(tile, apply);
  });
}

// array[column] = value(channel), 0 for columns that pad.
template <typename Value>
void FillColumns(const ChannelTiles& tiles, float* array, Value value) {
  for (int64_t column = 0; column < tiles.columns(); ++column) {
    const int64_t channel = tiles.ChannelOf(column);
    array[column] = channel < 0 ? 0.0f : static_cast<float>(value(channel));
  }
}

struct ForwardKernel {
  CpuContext context;
  BatchNormParameters p;
  BatchNormForwardOrder order;
  ChannelTiles tiles;
  OpKind kind;

  enum { kFactor, kOffset, kShift, kArrays };

  void operator()(const KernelMemory& memory) const {
    const Scratch scratch(tiles, kArrays, context.threads, memory.Scratch<void>());
    if (kind == OpKind::kBatchNormForwardTraining) ComputeStatistics(memory, scratch);
    FillFactors(memory, scratch);
    const float* src = memory.At(order.src);
    const float* residual = p.fused_add ? memory.At(order.residual) : nullptr;
    float* dst = memory.At(order.dst);
    ApplyToTiles(tiles, context.threads, [&](const Panel& panel, int64_t offset, int64_t column) {
      context.simd->norm_apply(
          panel, src + offset, scratch.Array(kFactor) + column, scratch.Array(kOffset) + column,
          residual != nullptr ? residual + offset : nullptr, p.fused_relu, dst + offset);
    });
  }

  // The mean of each channel over the sample, in the array kShift.
  void FillShift(const float* src, const Scratch& scratch) const {
    int64_t sampled = 0;  // Elements of a channel.
    SumChannels(tiles, tiles.sample_tiles(), 1, scratch,
                [&](const Panel& panel, int64_t offset, int64_t column, float* sums, float*) {
                  context.simd->add_columns(panel, src + offset, sums);
                  if (tiles.ChannelOf(column) == 0) {
                    sampled +=
                        tiles.columns_per_channel() == 1 ? panel.rows : panel.rows * panel.width;
                  }
                });
    const double* sums = scratch.Totals();
    FillColumns(tiles, scratch.Array(kShift), [&](int64_t c) { return sums[c] / sampled; });
  }

  void ComputeStatistics(const KernelMemory& memory, const Scratch& scratch) const {
    const float* src = memory.At(order.src);
    FillShift(src, scratch);
    const float* shift = scratch.Array(kShift);
    SumChannels(
        tiles, tiles.tiles(), context.threads, scratch,
        [&](const Panel& panel, int64_t offset, int64_t column, float* sums, float* squares) {
          context.simd->norm_moments(panel, src + offset, shift + column, sums, squares);
        });
    const double count = static_cast<double>(tiles.elements_per_channel());
    const double unbiased = count / std::max(1.0, count - 1);
    const double keep = p.scalars != nullptr && p.scalars->running_momentum >= 0
                            ? p.scalars->running_momentum
                            : p.momentum;
    const double* sums = scratch.Totals();
    const double* squares = sums + tiles.channels();
    for (int64_t column = 0; column < tiles.columns(); column += tiles.columns_per_channel()) {
      const int64_t c = tiles.ChannelOf(column);
      if (c < 0) continue;
      const double offset = sums[c] / count;
      const double mean = shift[column] + offset;
      const double variance = std::max(0.0, squares[c] / count - offset * offset);
      memory.At(order.saved_mean)[c] = static_cast<float>(mean);
      memory.At(order.saved_inverse_std)[c] =
          static_cast<float>(1 / std::sqrt(variance + p.epsilon));
      float& running_mean = memory.At(order.mean)[c];
      float& running_variance = memory.At(order.variance)[c];
      running_mean = static_cast<float>(keep * running_mean + (1 - keep) * mean);
      running_variance =
          static_cast<float>(keep * running_variance + (1 - keep) * variance * unbiased);
    }
  }

  // dst = src * factor + offset.
  void FillFactors(const KernelMemory& memory, const Scratch& scratch) const {
    const float* scale = memory.At(order.scale);
    const float* bias = memory.At(order.bias);
    const bool saved = kind != OpKind::kBatchNormForwardInference;
    const float* mean = memory.At(saved ? order.saved_mean : order.mean);
    const auto factor = [&](int64_t c) {
      const double inverse_std =
          saved ? memory.At(order.saved_inverse_std)[c]
                : 1 / std::sqrt(static_cast<double>(memory.At(order.variance)[c]) + p.epsilon);
      return scale[c] * inverse_std;
    };
    FillColumns(tiles, scratch.Array(kFactor), factor);
    FillColumns(tiles, scratch.Array(kOffset),
                [&](int64_t c) { return bias[c] - mean[c] * factor(c); });
  }
};

struct BackwardKernel {
  CpuContext context;
  BatchNormBackwardOrder order;
  ChannelTiles tiles;

  enum { kMean, kFactor, kSlope, kOffset, kArrays };

  void operator()(const KernelMemory& memory) const {
    const Scratch scratch(tiles, kArrays, context.threads, memory.Scratch<void>());
    const float* src = memory.At(order.src);
    const float* saved_mean = memory.At(order.saved_mean);
    FillColumns(tiles, scratch.Array(kMean), [&](int64_t c) { return saved_mean[c]; });
    NormGradient g = {order.dst >= 0 ? memory.At(order.dst) : nullptr, memory.At(order.d_dst),
                      order.d_dst_2 >= 0 ? memory.At(order.d_dst_2) : nullptr};
    // The gradient is stored where somebody wants it, or where it would be summed twice.
    float* gradient = order.d_residual >= 0 ? memory.At(order.d_residual)
                      : order.d_dst_2 >= 0  ? memory.At(order.d_src)
                                            : nullptr;
    SumChannels(
        tiles, tiles.tiles(), context.threads, scratch,
        [&](const Panel& panel, int64_t offset, int64_t column, float* sums, float* products) {
          context.simd->norm_backward_sums(panel, src + offset, At(g, offset),
                                           scratch.Array(kMean) + column, sums, products,
                                           gradient != nullptr ? gradient + offset : nullptr);
        });
    FinishSums(memory, scratch);
    if (gradient != nullptr) g = {nullptr, gradient, nullptr};
    float* d_src = memory.At(order.d_src);
    ApplyToTiles(tiles, context.threads, [&](const Panel& panel, int64_t offset, int64_t column) {
      context.simd->norm_backward_apply(
          panel, src + offset, At(g, offset), scratch.Array(kMean) + column,
          scratch.Array(kFactor) + column, scratch.Array(kSlope) + column,
          scratch.Array(kOffset) + column, d_src + offset);
    });
  }

  static NormGradient At(const NormGradient& g, int64_t offset) {
    return {g.dst != nullptr ? g.dst + offset : nullptr, g.d_dst + offset,
            g.d_dst_2 != nullptr ? g.d_dst_2 + offset : nullptr};
  }

  // With x' = (src - mean) * inverse_std and g the gradient (Ioffe & Szegedy 2015, section 3):
  // d_bias = sum g, d_scale = sum g x',
  // d_src = scale * inverse_std * (g - d_bias / count - x' * d_scale / count).
  void FinishSums(const KernelMemory& memory, const Scratch& scratch) const {
    const double count = static_cast<double>(tiles.elements_per_channel());
    const float* scale = memory.At(order.scale);
    const float* inverse_std = memory.At(order.saved_inverse_std);
    const double* sums = scratch.Totals();
    const double* products = sums + tiles.channels();
    for (int64_t c = 0; c < tiles.channels(); ++c) {
      memory.At(order.d_bias)[c] = static_cast<float>(sums[c]);
      memory.At(order.d_scale)[c] = static_cast<float>(products[c] * inverse_std[c]);
    }
    const auto factor = [&](int64_t c) { return static_cast<double>(scale[c]) * inverse_std[c]; };
    FillColumns(tiles, scratch.Array(kFactor), factor);
    FillColumns(tiles, scratch.Array(kSlope), [&](int64_t c) {
      return -factor(c) * inverse_std[c] * inverse_std[c] * products[c] / count;
    });
    FillColumns(tiles, scratch.Array(kOffset),
                [&](int64_t c) { return -factor(c) * sums[c] / count; });
  }
};

}  // namespace

KernelOr PlanBatchNormForward(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<BatchNormParameters>(op.parameters);
  const BatchNormForwardOrder order = op.kind == OpKind::kBatchNormForwardAgain
                                          ? BatchNormForwardOrder::Again()
                                          : BatchNormForwardOrder(p);
  std::vector<TensorDescription> operands = op.operands;
  ASSIGN_OR_RETURN(const ChannelTiles tiles,
                   SettleActivations({order.src, order.residual, order.dst}, &operands));
  const ForwardKernel kernel{context, p, order, tiles, op.kind};
  const size_t bytes = Scratch(tiles, ForwardKernel::kArrays, context.threads, nullptr).bytes();
  return MakeOwnKernel(std::move(operands), bytes, kernel);
}

KernelOr PlanBatchNormBackward(const CpuContext& context, const OpDescription& op) {
  const BatchNormBackwardOrder order(std::get<BatchNormParameters>(op.parameters));
  std::vector<TensorDescription> operands = op.operands;
  ASSIGN_OR_RETURN(const ChannelTiles tiles,
                   SettleActivations({order.src, order.dst, order.d_dst, order.d_dst_2, order.d_src,
                                      order.d_residual},
                                     &operands));
  const size_t bytes = Scratch(tiles, BackwardKernel::kArrays, context.threads, nullptr).bytes();
  return MakeOwnKernel(std::move(operands), bytes, BackwardKernel{context, order, tiles});
}

}  // namespace topiary
