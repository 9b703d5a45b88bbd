// Attention, some queries of one head at a time: their scores stay in a core's cache.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/blocksparse/block_columns.h"
#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Queries that are worked on together.
constexpr int64_t kQueries = 48;

// Multiplications for which a second thread starts to pay.
constexpr int64_t kGrain = 1 << 18;

// The products are those of worker/kernels/blocksparse, with matrices of one block.
class AttentionKernel {
 public:
  AttentionKernel(const CpuContext& context, const AttentionParameters& p, const Shape& query,
                  const Shape& value)
      : simd_(context.simd),
        blocks_(&BlockKernelsFor(context.simd->isa)),
        threads_(context.threads),
        order_(p),
        scale_(p.scale),
        batch_(query[0]),
        queries_(query[1]),
        heads_(query[2]),
        depth_(query[3]),
        keys_(value[1]),
        width_(value[3]),
        keys_stride_(RoundUp(keys_, blocks_->lanes)),
        width_stride_(RoundUp(width_, blocks_->lanes)),
        keys_term_{0, depth_, 0},
        values_term_{0, keys_, 0} {}

  size_t scratch_bytes() const { return threads_ * workspace_floats() * sizeof(float); }

  void operator()(const KernelMemory& memory) const {
    const int64_t pairs = batch_ * heads_;
    const int64_t cost = queries_ * keys_ * (depth_ + width_);
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cost));
    ParallelFor(threads_, pairs, grain, 1, [&](int64_t begin, int64_t end, int part) {
      const Workspace workspace = WorkspaceOf(memory.Scratch() + part * workspace_floats());
      for (int64_t pair = begin; pair < end; ++pair) {
        Run(memory, pair / heads_, pair % heads_, workspace);
      }
    });
  }

 private:
  struct Workspace {
    float* keys;    // [depth][keys_stride]
    float* values;  // [keys][width_stride]
    float* scores;  // [kQueries][keys_stride]
  };

  int64_t keys_floats() const { return RoundUp(depth_ * keys_stride_, kLineFloats); }
  int64_t values_floats() const { return RoundUp(keys_ * width_stride_, kLineFloats); }
  // Kernels may read a line beyond what is packed.
  int64_t workspace_floats() const {
    return keys_floats() + values_floats() +
           RoundUp(kQueries * keys_stride_ + kLineFloats, kLineFloats);
  }
  Workspace WorkspaceOf(float* own) const {
    return {own, own + keys_floats(), own + keys_floats() + values_floats()};
  }

  // One head of one example.
  void Run(const KernelMemory& memory, int64_t example, int64_t head, const Workspace& w) const {
    const int64_t in_stride = heads_ * depth_, out_stride = heads_ * width_;
    const float* q = memory.At(order_.query) + example * queries_ * in_stride + head * depth_;
    const float* k = memory.At(order_.key) + example * keys_ * in_stride + head * depth_;
    const float* v = memory.At(order_.value) + example * keys_ * out_stride + head * width_;
    float* dst = memory.At(order_.dst) + example * queries_ * out_stride + head * width_;
    blocks_->pack_panel(k, in_stride, keys_, depth_, keys_stride_ / blocks_->lanes, w.keys);
    simd_->unary_forward({UnaryFunction::kLinear, scale_, 0}, depth_ * keys_stride_, w.keys,
                         w.keys);
    for (int64_t j = 0; j < keys_; ++j) {
      float* row = w.values + j * width_stride_;
      std::copy_n(v + j * out_stride, width_, row);
      std::fill(row + width_, row + width_stride_, 0.0f);
    }
    BlockColumn to_scores, to_values;
    to_scores.terms = &keys_term_;
    to_scores.width = keys_;
    to_scores.stride = keys_stride_;
    to_values.terms = &values_term_;
    to_values.width = width_;
    to_values.stride = width_stride_;
    to_scores.term_count = to_values.term_count = 1;
    for (int64_t first = 0; first < queries_; first += kQueries) {
      const int64_t count = std::min(kQueries, queries_ - first);
      blocks_->multiply_rows(to_scores, w.keys, q + first * in_stride, in_stride, count, w.scores,
                             keys_stride_);
      for (int64_t i = 0; i < count; ++i) {
        const float* mask =
            order_.mask < 0 ? nullptr : memory.At(order_.mask) + (first + i) * keys_;
        Softmax(mask, w.scores + i * keys_stride_);
      }
      blocks_->multiply_rows(to_values, w.values, w.scores, keys_stride_, count,
                             dst + first * out_stride, out_stride);
    }
  }

  void Softmax(const float* mask, float* scores) const {
    if (mask != nullptr) simd_->binary({BinaryFunction::kAdd}, keys_, scores, 1, mask, 1, scores);
    const float sum = simd_->exp_shifted(keys_, scores, simd_->max(keys_, scores), scores);
    simd_->unary_forward({UnaryFunction::kLinear, 1 / sum, 0}, keys_, scores, scores);
  }

  const SimdKernels* simd_;
  const BlockKernels* blocks_;
  int threads_;
  AttentionOrder order_;
  float scale_;
  int64_t batch_;
  int64_t queries_;
  int64_t heads_;
  int64_t depth_;  // Of queries and keys.
  int64_t keys_;
  int64_t width_;  // Of values.
  int64_t keys_stride_;
  int64_t width_stride_;
  BlockTerm keys_term_;
  BlockTerm values_term_;
};

}  // namespace

KernelOr PlanAttention(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<AttentionParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettlePlain(&operands));
  const AttentionOrder order(p);
  const AttentionKernel kernel(context, p, operands[order.query].shape,
                               operands[order.value].shape);
  const size_t scratch = kernel.scratch_bytes();
  return MakeOwnKernel(std::move(operands), scratch, kernel);
}

}  // namespace topiary
