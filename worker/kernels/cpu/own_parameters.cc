// The passes over parameters: block scales, inner products per block, optimizers.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/kernels/cpu/block_chunks.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Elements for which a second thread starts to pay. What one core's cache holds is better done by
// that core: half of it would come from the cache of the other, where the gradient was written.
constexpr int64_t kGrain = 65536;
constexpr int64_t kLine = 16;

SgdStep SgdStepOf(const OptimizerParameters& p) {
  return {p.scalars->learning_rate * p.learning_rate_multiplier, p.scalars->gradient_scale,
          p.momentum, p.nesterov, p.weight_decay};
}

AdamStep AdamStepOf(const OptimizerParameters& p) {
  return {p.scalars->learning_rate * p.learning_rate_multiplier,
          p.scalars->gradient_scale,
          p.beta1,
          p.beta2,
          p.epsilon,
          p.weight_decay,
          p.kind == OptimizerKind::kAdamW,
          p.scalars->bias_correction_1,
          p.scalars->bias_correction_2};
}

// The scale of each element of the chunk that a thread works on.
class ChunkScales {
 public:
  ChunkScales(const CpuContext& context, const BlockChunks& chunks, const float* block_scale,
              float* scratch)
      : context_(context), chunks_(chunks), block_scale_(block_scale), scale_(scratch) {}

  static size_t Bytes(const CpuContext& context, const BlockChunks& chunks) {
    return static_cast<size_t>(chunks.array_size() * context.threads) * sizeof(float);
  }

  // Chunks that are alike keep what the one before had, in whatever order a thread takes them.
  void MoveTo(int64_t i) {
    const BlockChunk& chunk = chunks_.at(i);
    const int64_t last = std::exchange(current_, i);
    if (last >= 0 && i == last + 1 && chunk.like_previous) return;
    if (last >= 0 && i == last - 1 && chunks_.at(last).like_previous) return;
    masked_ = context_.simd->expand_scales(chunks_.runs().runs.data() + chunk.first_run,
                                           chunk.last_run - chunk.first_run, block_scale_,
                                           chunk.begin, scale_);
  }
  const float* scale() const { return scale_; }
  bool masked() const { return masked_; }

 private:
  const CpuContext& context_;
  const BlockChunks& chunks_;
  const float* block_scale_;
  float* scale_;
  int64_t current_ = -1;
  bool masked_ = false;
};

// Sums products by block: products of chunks alike are added up element by element before they are
// summed by block. Each thread adds to blocks of its own array, unless no block has elements in
// several chunks; Finish() adds the arrays in order.
class ProductSums {
 public:
  ProductSums(const CpuContext& context, const BlockChunks& chunks, float* scratch)
      : context_(context),
        chunks_(chunks),
        totals_(scratch),
        products_(scratch + Arrays(context, chunks) * chunks.runs().block_count) {}

  static size_t Bytes(const CpuContext& context, const BlockChunks& chunks) {
    return static_cast<size_t>(Arrays(context, chunks) * chunks.runs().block_count +
                               context.threads * chunks.array_size()) *
           sizeof(float);
  }

  void Start() const {
    std::fill(totals_, totals_ + Arrays(context_, chunks_) * chunks_.runs().block_count, 0.0f);
  }

  // Where to add the products of chunk `i`, element by element. `begin` is the thread's
  // first chunk, and chunks come in order.
  float* Products(int64_t i, int64_t begin, int thread) const {
    float* products = products_ + thread * chunks_.array_size();
    const BlockChunk& chunk = chunks_.at(i);
    if (i == begin || !chunk.like_previous) {
      std::fill(products, products + (chunk.end - chunk.begin), 0.0f);
    }
    return products;
  }

  // After the products of chunk `i` were added; the thread's chunks end before `end`.
  void Sum(int64_t i, int64_t end, int thread) const {
    if (i + 1 < end && chunks_.at(i + 1).like_previous) return;
    const BlockChunk& chunk = chunks_.at(i);
    const int64_t array = thread % Arrays(context_, chunks_);
    context_.simd->sum_runs(
        chunks_.runs().runs.data() + chunk.first_run, chunk.last_run - chunk.first_run, chunk.begin,
        products_ + thread * chunks_.array_size(), totals_ + array * chunks_.runs().block_count);
  }

  void Finish(float* dst) const {
    const int64_t blocks = chunks_.runs().block_count;
    std::memcpy(dst, totals_, blocks * sizeof(float));
    for (int64_t array = 1; array < Arrays(context_, chunks_); ++array) {
      context_.simd->binary({BinaryFunction::kAdd, false}, blocks, dst, 1, totals_ + blocks * array,
                            1, dst);
    }
  }

 private:
  static int64_t Arrays(const CpuContext& context, const BlockChunks& chunks) {
    return chunks.BlocksSpanChunks() ? context.threads : 1;
  }

  const CpuContext& context_;
  const BlockChunks& chunks_;
  float* totals_;
  float* products_;
};

struct OptimizerKernel {
  CpuContext context;
  OptimizerParameters p;
  std::shared_ptr<const BlockChunks> chunks;  // Null without runs.
  int64_t n;

  void operator()(const KernelMemory& memory) const {
    if (chunks != nullptr) {
      UpdateBlocks(memory);
    } else {
      ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
        Update(memory, begin, end - begin, nullptr);
      });
    }
  }

  void UpdateBlocks(const KernelMemory& memory) const {
    const int block_scale = 2 + OptimizerSlotCount(p);
    float* scratch = memory.Scratch();
    const ProductSums sums(context, *chunks, scratch + chunks->array_size() * context.threads);
    if (p.inner_products) sums.Start();
    ParallelFor(context.threads, chunks->size(), chunks->Grain(kGrain), 1,
                [&](int64_t begin, int64_t end, int thread) {
                  ChunkScales scales(context, *chunks, memory.At(block_scale),
                                     scratch + thread * chunks->array_size());
                  for (int64_t i = begin; i < end; ++i) {
                    scales.MoveTo(i);
                    const BlockStep step = {
                        scales.scale(), scales.masked(),
                        p.inner_products ? sums.Products(i, begin, thread) : nullptr};
                    const BlockChunk& chunk = chunks->at(i);
                    Update(memory, chunk.begin, chunk.end - chunk.begin, &step);
                    if (p.inner_products) sums.Sum(i, end, thread);
                  }
                });
    if (p.inner_products) sums.Finish(memory.At(block_scale + 1));
  }

  void Update(const KernelMemory& memory, int64_t begin, int64_t count,
              const BlockStep* blocks) const {
    const int slots = OptimizerSlotCount(p);
    float* value = memory.At(0) + begin;
    const float* gradient = memory.At(1) + begin;
    float* first = slots > 0 ? memory.At(2) + begin : nullptr;
    if (p.kind == OptimizerKind::kSgd) {
      context.simd->sgd(SgdStepOf(p), blocks, count, value, gradient, first);
    } else {
      context.simd->adam(AdamStepOf(p), blocks, count, value, gradient, first,
                         memory.At(3) + begin);
    }
  }
};

struct InnerProductsKernel {
  CpuContext context;
  std::shared_ptr<const BlockChunks> chunks;

  void operator()(const KernelMemory& memory) const {
    const ProductSums sums(context, *chunks, memory.Scratch());
    sums.Start();
    ParallelFor(context.threads, chunks->size(), chunks->Grain(kGrain), 1,
                [&](int64_t begin, int64_t end, int thread) {
                  for (int64_t i = begin; i < end; ++i) {
                    const BlockChunk& chunk = chunks->at(i);
                    context.simd->add_products(chunk.end - chunk.begin, memory.At(0) + chunk.begin,
                                               memory.At(1) + chunk.begin,
                                               sums.Products(i, begin, thread));
                    sums.Sum(i, end, thread);
                  }
                });
    sums.Finish(memory.At(2));
  }
};

struct ScaleKernel {
  CpuContext context;
  std::shared_ptr<const BlockChunks> chunks;

  void operator()(const KernelMemory& memory) const {
    ParallelFor(context.threads, chunks->size(), chunks->Grain(kGrain), 1,
                [&](int64_t begin, int64_t end, int thread) {
                  ChunkScales scales(context, *chunks, memory.At(1),
                                     memory.Scratch() + thread * chunks->array_size());
                  // Backwards: what the optimizer updated last is still in the cache.
                  for (int64_t i = end - 1; i >= begin; --i) {
                    scales.MoveTo(i);
                    const BlockChunk& chunk = chunks->at(i);
                    context.simd->binary({BinaryFunction::kMul, false}, chunk.end - chunk.begin,
                                         memory.At(0) + chunk.begin, 1, scales.scale(), 1,
                                         memory.At(2) + chunk.begin);
                  }
                });
  }
};

}  // namespace

KernelOr PlanScaleBlocks(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const auto chunks =
      std::make_shared<const BlockChunks>(std::get<BlockParameters>(op.parameters).runs);
  return MakeOwnKernel(std::move(operands), ChunkScales::Bytes(context, *chunks),
                       ScaleKernel{context, chunks});
}

KernelOr PlanBlockInnerProducts(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const auto chunks =
      std::make_shared<const BlockChunks>(std::get<BlockParameters>(op.parameters).runs);
  return MakeOwnKernel(std::move(operands), ProductSums::Bytes(context, *chunks),
                       InnerProductsKernel{context, chunks});
}

KernelOr PlanOptimizerUpdate(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<OptimizerParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const int64_t n = operands[0].shape.element_count();
  std::shared_ptr<const BlockChunks> chunks;
  if (p.runs != nullptr) chunks = std::make_shared<const BlockChunks>(p.runs);
  size_t bytes = chunks != nullptr ? ChunkScales::Bytes(context, *chunks) : 0;
  if (p.inner_products) bytes += ProductSums::Bytes(context, *chunks);
  return MakeOwnKernel(std::move(operands), bytes, OptimizerKernel{context, p, chunks, n});
}

}  // namespace topiary
