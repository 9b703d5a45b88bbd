// Attention, some queries of one head at a time: their scores stay in a core's cache. The backward
// pass computes the weights again.
//
// The products are those of worker/kernels/blocksparse, with matrices of one block.
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

// A matrix of one block, [inputs, outputs], whose rows lie `stride` apart.
class WholeMatrix {
 public:
  WholeMatrix(int64_t inputs, int64_t outputs, int64_t stride) : term_{0, inputs, 0} {
    column_.terms = &term_;
    column_.term_count = 1;
    column_.width = outputs;
    column_.stride = stride;
  }
  WholeMatrix(const WholeMatrix&) = delete;
  WholeMatrix& operator=(const WholeMatrix&) = delete;

  const BlockColumn& column() const { return column_; }

 private:
  BlockTerm term_;
  BlockColumn column_;
};

// Hands out parts of a thread's scratch area; counts only where that is null.
class Workspace {
 public:
  explicit Workspace(float* memory) : memory_(memory) {}
  float* Take(int64_t floats) {
    float* const taken = memory_ == nullptr ? nullptr : memory_ + floats_;
    floats_ += RoundUp(floats, kLineFloats);
    return taken;
  }
  // Kernels may read a line beyond what is packed.
  int64_t floats() const { return floats_ + kLineFloats; }

 private:
  float* memory_;
  int64_t floats_ = 0;
};

// What both directions do.
class AttentionBase {
 public:
  AttentionBase(const CpuContext& context, const AttentionParameters& p,
                const std::vector<TensorDescription>& operands)
      : simd_(context.simd),
        blocks_(&BlockKernelsFor(context.simd->isa)),
        threads_(context.threads),
        order_(p),
        scale_(p.scale) {
    const Shape& query = operands[order_.query].shape;
    const Shape& value = operands[order_.value].shape;
    batch_ = query[0], queries_ = query[1], heads_ = query[2], depth_ = query[3];
    keys_ = value[1], width_ = value[3];
    depth_stride_ = RoundUp(depth_, blocks_->lanes);
    keys_stride_ = RoundUp(keys_, blocks_->lanes);
    width_stride_ = RoundUp(width_, blocks_->lanes);
  }

 protected:
  // Rows of one head of one example.
  struct Rows {
    float* first;
    int64_t stride;
    float* From(int64_t row) const { return first + row * stride; }
  };
  Rows RowsOf(float* operand, int64_t length, int64_t width, int64_t example, int64_t head) const {
    const int64_t stride = heads_ * width;
    return {operand + example * length * stride + head * width, stride};
  }

  // Calls body(example, head, the thread's part of `scratch`) for each head of each example.
  template <typename Body>
  void ForEachHead(float* scratch, int64_t workspace_floats, Body body) const {
    const int64_t cost = queries_ * keys_ * (depth_ + width_);
    const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cost));
    ParallelFor(threads_, batch_ * heads_, grain, 1, [&](int64_t begin, int64_t end, int part) {
      float* const own = scratch + part * workspace_floats;
      for (int64_t pair = begin; pair < end; ++pair) body(pair / heads_, pair % heads_, own);
    });
  }

  // [count, width] as [width][stride].
  void PackTransposed(const Rows& rows, int64_t count, int64_t width, int64_t stride,
                      float* to) const {
    blocks_->pack_panel(rows.first, rows.stride, count, width, stride / blocks_->lanes, to);
  }
  // [count, width] as [count][stride], 0 beyond `width`.
  static void Copy(const float* from, int64_t from_stride, int64_t count, int64_t width,
                   int64_t stride, float* to) {
    for (int64_t i = 0; i < count; ++i) {
      float* const row = to + i * stride;
      std::copy_n(from + i * from_stride, width, row);
      std::fill(row + width, row + stride, 0.0f);
    }
  }
  void Scale(int64_t n, float* values) const {
    simd_->unary_forward({UnaryFunction::kLinear, scale_, 0}, n, values, values);
  }

  // The weights of the keys, [count][keys_stride], for the queries from `first` on. `keys`:
  // [depth][keys_stride], times the scale.
  void Weigh(const Rows& query, int64_t first, int64_t count, const float* keys, const float* mask,
             float* weights) const {
    const WholeMatrix matrix(depth_, keys_, keys_stride_);
    blocks_->multiply_rows(matrix.column(), keys, query.From(first), query.stride, count, weights,
                           keys_stride_);
    for (int64_t i = 0; i < count; ++i) {
      float* const row = weights + i * keys_stride_;
      if (mask != nullptr) {
        simd_->binary({BinaryFunction::kAdd}, keys_, row, 1, mask + (first + i) * keys_, 1, row);
      }
      const float sum = simd_->exp_shifted(keys_, row, simd_->max(keys_, row), row);
      simd_->unary_forward({UnaryFunction::kLinear, 1 / sum, 0}, keys_, row, row);
    }
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
  int64_t depth_stride_;
  int64_t keys_stride_;
  int64_t width_stride_;
};

class AttentionForward : protected AttentionBase {
 public:
  using AttentionBase::AttentionBase;

 protected:
  struct Memory {
    Memory(const AttentionForward& k, float* own) {
      Workspace workspace(own);
      keys = workspace.Take(k.depth_ * k.keys_stride_);
      values = workspace.Take(k.keys_ * k.width_stride_);
      weights = workspace.Take(kQueries * k.keys_stride_);
      floats = workspace.floats();
    }
    float* keys;     // [depth][keys_stride], times the scale
    float* values;   // [keys][width_stride]
    float* weights;  // [kQueries][keys_stride]
    int64_t floats;
  };

  void Run(const KernelMemory& memory, int64_t example, int64_t head, const Memory& m) const {
    const Rows query = RowsOf(memory.At(order_.query), queries_, depth_, example, head);
    const Rows key = RowsOf(memory.At(order_.key), keys_, depth_, example, head);
    const Rows value = RowsOf(memory.At(order_.value), keys_, width_, example, head);
    const Rows dst = RowsOf(memory.At(order_.dst), queries_, width_, example, head);
    const float* mask = order_.mask < 0 ? nullptr : memory.At(order_.mask);
    PackTransposed(key, keys_, depth_, keys_stride_, m.keys);
    Scale(depth_ * keys_stride_, m.keys);
    Copy(value.first, value.stride, keys_, width_, width_stride_, m.values);
    const WholeMatrix values(keys_, width_, width_stride_);
    for (int64_t first = 0; first < queries_; first += kQueries) {
      const int64_t count = std::min(kQueries, queries_ - first);
      Weigh(query, first, count, m.keys, mask, m.weights);
      blocks_->multiply_rows(values.column(), m.values, m.weights, keys_stride_, count,
                             dst.From(first), dst.stride);
    }
  }
};

// With the weights W and S the scores before the softmax, for each head:
//   d_value = W^T d_dst             d_W = d_dst value^T     d_S = W (d_W - <W, d_W>) by row
//   d_query = scale * d_S key       d_key = scale * d_S^T query
class AttentionBackward : protected AttentionBase {
 public:
  AttentionBackward(const CpuContext& context, const AttentionParameters& p,
                    const std::vector<TensorDescription>& operands)
      : AttentionBase(context, p, operands), gradients_(p) {}

 protected:
  struct Memory {
    Memory(const AttentionBackward& k, float* own) {
      Workspace workspace(own);
      keys_by_depth = workspace.Take(k.depth_ * k.keys_stride_);
      values_by_width = workspace.Take(k.width_ * k.keys_stride_);
      keys = workspace.Take(k.keys_ * k.depth_stride_);
      d_keys = workspace.Take(k.keys_ * k.depth_stride_);
      d_values = workspace.Take(k.keys_ * k.width_stride_);
      queries = workspace.Take(kQueries * k.depth_stride_);
      d_dst = workspace.Take(kQueries * k.width_stride_);
      weights = workspace.Take(kQueries * k.keys_stride_);
      d_scores = workspace.Take(kQueries * k.keys_stride_);
      floats = workspace.floats();
    }
    float* keys_by_depth;    // [depth][keys_stride], times the scale
    float* values_by_width;  // [width][keys_stride]
    float* keys;             // [keys][depth_stride], times the scale
    float* d_keys;           // [keys][depth_stride], before the scale
    float* d_values;         // [keys][width_stride]
    float* queries;          // [kQueries][depth_stride]
    float* d_dst;            // [kQueries][width_stride]
    float* weights;          // [kQueries][keys_stride]
    float* d_scores;         // [kQueries][keys_stride]
    int64_t floats;
  };

  void Run(const KernelMemory& memory, int64_t example, int64_t head, const Memory& m) const {
    const Rows query = RowsOf(memory.At(gradients_.query), queries_, depth_, example, head);
    const Rows key = RowsOf(memory.At(gradients_.key), keys_, depth_, example, head);
    const Rows value = RowsOf(memory.At(gradients_.value), keys_, width_, example, head);
    const Rows d_dst = RowsOf(memory.At(gradients_.d_dst), queries_, width_, example, head);
    const Rows d_query = RowsOf(memory.At(gradients_.d_query), queries_, depth_, example, head);
    const Rows d_key = RowsOf(memory.At(gradients_.d_key), keys_, depth_, example, head);
    const Rows d_value = RowsOf(memory.At(gradients_.d_value), keys_, width_, example, head);
    const float* mask = gradients_.mask < 0 ? nullptr : memory.At(gradients_.mask);
    PackTransposed(key, keys_, depth_, keys_stride_, m.keys_by_depth);
    Scale(depth_ * keys_stride_, m.keys_by_depth);
    PackTransposed(value, keys_, width_, keys_stride_, m.values_by_width);
    Copy(key.first, key.stride, keys_, depth_, depth_stride_, m.keys);
    Scale(keys_ * depth_stride_, m.keys);
    std::fill_n(m.d_keys, keys_ * depth_stride_, 0.0f);
    std::fill_n(m.d_values, keys_ * width_stride_, 0.0f);
    const WholeMatrix to_weights(width_, keys_, keys_stride_);
    const WholeMatrix to_query(keys_, depth_, depth_stride_);
    for (int64_t first = 0; first < queries_; first += kQueries) {
      const int64_t count = std::min(kQueries, queries_ - first);
      Weigh(query, first, count, m.keys_by_depth, mask, m.weights);
      blocks_->multiply_rows(to_weights.column(), m.values_by_width, d_dst.From(first),
                             d_dst.stride, count, m.d_scores, keys_stride_);
      for (int64_t i = 0; i < count; ++i) {
        float* const row = m.d_scores + i * keys_stride_;
        simd_->softmax_backward(keys_, m.weights + i * keys_stride_, row, row);
      }
      blocks_->multiply_rows(to_query.column(), m.keys, m.d_scores, keys_stride_, count,
                             d_query.From(first), d_query.stride);
      Copy(query.From(first), query.stride, count, depth_, depth_stride_, m.queries);
      Copy(d_dst.From(first), d_dst.stride, count, width_, width_stride_, m.d_dst);
      blocks_->add_outer_products(m.d_scores, keys_stride_, m.queries, depth_stride_, count, keys_,
                                  depth_, m.d_keys, depth_stride_);
      blocks_->add_outer_products(m.weights, keys_stride_, m.d_dst, width_stride_, count, keys_,
                                  width_, m.d_values, width_stride_);
    }
    Scale(keys_ * depth_stride_, m.d_keys);
    for (int64_t j = 0; j < keys_; ++j) {
      std::copy_n(m.d_keys + j * depth_stride_, depth_, d_key.From(j));
      std::copy_n(m.d_values + j * width_stride_, width_, d_value.From(j));
    }
  }

  AttentionBackwardOrder gradients_;
};

// What `Head` does to one head of one example, for all of them.
template <typename Head>
class HeadByHead : Head {
 public:
  using Head::Head;

  size_t scratch_bytes() const {
    return this->threads_ * Memory(*this, nullptr).floats * sizeof(float);
  }

  void operator()(const KernelMemory& memory) const {
    this->ForEachHead(memory.Scratch(), Memory(*this, nullptr).floats,
                      [&](int64_t example, int64_t head, float* own) {
                        this->Run(memory, example, head, Memory(*this, own));
                      });
  }

 private:
  using Memory = typename Head::Memory;
};

template <typename Head>
KernelOr Plan(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettlePlain(&operands));
  const HeadByHead<Head> kernel(context, std::get<AttentionParameters>(op.parameters), operands);
  const size_t scratch = kernel.scratch_bytes();
  return MakeOwnKernel(std::move(operands), scratch, kernel);
}

}  // namespace

KernelOr PlanAttention(const CpuContext& context, const OpDescription& op) {
  return Plan<AttentionForward>(context, op);
}

KernelOr PlanAttentionBackward(const CpuContext& context, const OpDescription& op) {
  return Plan<AttentionBackward>(context, op);
}

}  // namespace topiary
