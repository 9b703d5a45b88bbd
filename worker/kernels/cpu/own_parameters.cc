// The passes over parameters: block scales, inner products per block, optimizers.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "worker/kernels/cpu/block_chunks.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/parallel.h"

namespace topiary {
namespace {

// Elements for which a second thread starts to pay. What one core's cache holds is better done by
// that core: half of it would come from the cache of the other, where the gradient was written.
constexpr int64_t kGrain = 65536;
constexpr int64_t kLine = 16;

absl::Status SettlePlain(std::vector<TensorDescription>* operands) {
  for (TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) return absl::UnimplementedError("plain operands only");
  }
  return absl::OkStatus();
}

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

// Makes `scale` the block scale of each element of chunk `i`. It is left as it is where it has the
// chunk before and that is alike, unless `anew`.
void ExpandScales(const CpuContext& context, const BlockChunks& chunks, int64_t i, bool anew,
                  const float* block_scale, float* scale) {
  const BlockChunk& chunk = chunks.at(i);
  if (chunk.like_previous && !anew) return;
  context.simd->expand_scales(chunks.runs().runs.data() + chunk.first_run,
                              chunk.last_run - chunk.first_run, block_scale, chunk.begin, scale);
}

// Sums products by block while chunks are worked on: products of chunks alike are added up element
// by element before they are summed by block. Each thread adds to blocks of its own array; Finish()
// adds the arrays in order.
class ProductSums {
 public:
  ProductSums(const CpuContext& context, const BlockChunks& chunks, float* scratch)
      : context_(context),
        chunks_(chunks),
        totals_(scratch),
        products_(scratch + context.threads * chunks.runs().block_count) {}

  static size_t Bytes(const CpuContext& context, const BlockChunks& chunks) {
    return static_cast<size_t>(context.threads *
                               (chunks.runs().block_count + chunks.array_size())) *
           sizeof(float);
  }

  void Start() const {
    std::fill(totals_, totals_ + context_.threads * chunks_.runs().block_count, 0.0f);
  }

  // Adds a * b over chunk `i` of the thread's [begin, end).
  void Add(int64_t i, int64_t begin, int64_t end, int thread, const float* a,
           const float* b) const {
    const BlockChunk& chunk = chunks_.at(i);
    const int64_t n = chunk.end - chunk.begin;
    float* products = products_ + thread * chunks_.array_size();
    if (i == begin || !chunk.like_previous) {
      context_.simd->binary({BinaryFunction::kMul, false}, n, a + chunk.begin, 1, b + chunk.begin,
                            1, products);
    } else {
      context_.simd->add_products(n, a + chunk.begin, b + chunk.begin, products);
    }
    if (i + 1 < end && chunks_.at(i + 1).like_previous) return;
    context_.simd->sum_runs(chunks_.runs().runs.data() + chunk.first_run,
                            chunk.last_run - chunk.first_run, chunk.begin, products,
                            totals_ + thread * chunks_.runs().block_count);
  }

  void Finish(float* dst) const {
    const int64_t blocks = chunks_.runs().block_count;
    std::memcpy(dst, totals_, blocks * sizeof(float));
    for (int thread = 1; thread < context_.threads; ++thread) {
      context_.simd->binary({BinaryFunction::kAdd, false}, blocks, dst, 1,
                            totals_ + blocks * thread, 1, dst);
    }
  }

 private:
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
    float* scales = memory.Scratch();
    const ProductSums sums(context, *chunks, scales + chunks->array_size() * context.threads);
    if (p.inner_products) sums.Start();
    ParallelFor(context.threads, chunks->size(), chunks->Grain(kGrain), 1,
                [&](int64_t begin, int64_t end, int thread) {
                  float* scale = scales + thread * chunks->array_size();
                  for (int64_t i = begin; i < end; ++i) {
                    if (p.inner_products) {
                      sums.Add(i, begin, end, thread, memory.At(1), memory.At(0));
                    }
                    const BlockChunk& chunk = chunks->at(i);
                    ExpandScales(context, *chunks, i, i == begin, memory.At(block_scale), scale);
                    Update(memory, chunk.begin, chunk.end - chunk.begin, scale);
                  }
                });
    if (p.inner_products) sums.Finish(memory.At(block_scale + 1));
  }

  void Update(const KernelMemory& memory, int64_t begin, int64_t count, const float* scale) const {
    const int slots = OptimizerSlotCount(p);
    float* value = memory.At(0) + begin;
    const float* gradient = memory.At(1) + begin;
    float* first = slots > 0 ? memory.At(2) + begin : nullptr;
    if (p.kind == OptimizerKind::kSgd) {
      context.simd->sgd(SgdStepOf(p), count, scale, value, gradient, first);
    } else {
      context.simd->adam(AdamStepOf(p), count, scale, value, gradient, first, memory.At(3) + begin);
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
                    sums.Add(i, begin, end, thread, memory.At(0), memory.At(1));
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
                  float* scale = memory.Scratch() + thread * chunks->array_size();
                  for (int64_t i = begin; i < end; ++i) {
                    const BlockChunk& chunk = chunks->at(i);
                    ExpandScales(context, *chunks, i, i == begin, memory.At(1), scale);
                    context.simd->binary({BinaryFunction::kMul, false}, chunk.end - chunk.begin,
                                         memory.At(0) + chunk.begin, 1, scale, 1,
                                         memory.At(2) + chunk.begin);
                  }
                });
  }
};

size_t ArrayBytes(const CpuContext& context, const BlockChunks& chunks) {
  return static_cast<size_t>(chunks.array_size() * context.threads) * sizeof(float);
}

}  // namespace

KernelOr PlanScaleBlocks(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const auto chunks =
      std::make_shared<const BlockChunks>(std::get<BlockParameters>(op.parameters).runs);
  return MakeOwnKernel(std::move(operands), ArrayBytes(context, *chunks),
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
  size_t bytes = chunks != nullptr ? ArrayBytes(context, *chunks) : 0;
  if (p.inner_products) bytes += ProductSums::Bytes(context, *chunks);
  return MakeOwnKernel(std::move(operands), bytes, OptimizerKernel{context, p, chunks, n});
}

}  // namespace topiary
