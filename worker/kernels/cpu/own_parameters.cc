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

// Calls body(begin, count, scales of the elements) over the chunks.
template <typename Body>
void ForEachScaledChunk(const CpuContext& context, const BlockChunks& chunks,
                        const float* block_scale, float* scratch, Body body) {
  ParallelFor(context.threads, chunks.size(), chunks.Grain(kGrain), 1,
              [&](int64_t begin, int64_t end, int thread) {
                float* scale = scratch + thread * chunks.array_size();
                for (int64_t i = begin; i < end; ++i) {
                  const BlockChunk& chunk = chunks.at(i);
                  if (i == begin || !chunk.like_previous) {
                    context.simd->expand_scales(chunks.runs().runs.data() + chunk.first_run,
                                                chunk.last_run - chunk.first_run, block_scale,
                                                chunk.begin, scale);
                  }
                  body(chunk.begin, chunk.end - chunk.begin, scale);
                }
              });
}

struct OptimizerKernel {
  CpuContext context;
  OptimizerParameters p;
  std::shared_ptr<const BlockChunks> chunks;  // Null without runs.
  int64_t n;

  void operator()(const KernelMemory& memory) const {
    if (chunks != nullptr) {
      const float* block_scale = memory.At(2 + OptimizerSlotCount(p));
      ForEachScaledChunk(context, *chunks, block_scale, memory.Scratch(),
                         [&](int64_t begin, int64_t count, const float* scale) {
                           Update(memory, begin, count, scale);
                         });
      return;
    }
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      Update(memory, begin, end - begin, nullptr);
    });
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

  // Products of chunks alike are added up element by element before they are summed by block.
  // Each thread adds to blocks of its own array; the arrays are added in order.
  void operator()(const KernelMemory& memory) const {
    const int64_t blocks = chunks->runs().block_count;
    float* partials = memory.Scratch();
    float* products = partials + blocks * context.threads;
    std::fill(partials, products, 0.0f);
    ParallelFor(context.threads, chunks->size(), chunks->Grain(kGrain), 1,
                [&](int64_t begin, int64_t end, int thread) {
                  SumChunks(memory, begin, end, products + thread * chunks->array_size(),
                            partials + blocks * thread);
                });
    float* dst = memory.At(2);
    std::memcpy(dst, partials, blocks * sizeof(float));
    for (int thread = 1; thread < context.threads; ++thread) {
      context.simd->binary({BinaryFunction::kAdd, false}, blocks, dst, 1,
                           partials + blocks * thread, 1, dst);
    }
  }

  void SumChunks(const KernelMemory& memory, int64_t begin, int64_t end, float* products,
                 float* totals) const {
    for (int64_t i = begin; i < end; ++i) {
      const BlockChunk& chunk = chunks->at(i);
      const float* a = memory.At(0) + chunk.begin;
      const float* b = memory.At(1) + chunk.begin;
      const int64_t n = chunk.end - chunk.begin;
      if (i == begin || !chunk.like_previous) {
        context.simd->binary({BinaryFunction::kMul, false}, n, a, 1, b, 1, products);
      } else {
        context.simd->add_products(n, a, b, products);
      }
      if (i + 1 < end && chunks->at(i + 1).like_previous) continue;
      context.simd->sum_runs(chunks->runs().runs.data() + chunk.first_run,
                             chunk.last_run - chunk.first_run, chunk.begin, products, totals);
    }
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
  const size_t bytes = ArrayBytes(context, *chunks);
  return MakeOwnKernel(std::move(operands), bytes, [context, chunks](const KernelMemory& memory) {
    ForEachScaledChunk(context, *chunks, memory.At(1), memory.Scratch(),
                       [&](int64_t begin, int64_t count, const float* scale) {
                         context.simd->binary({BinaryFunction::kMul, false}, count,
                                              memory.At(0) + begin, 1, scale, 1,
                                              memory.At(2) + begin);
                       });
  });
}

KernelOr PlanBlockInnerProducts(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const auto chunks =
      std::make_shared<const BlockChunks>(std::get<BlockParameters>(op.parameters).runs);
  const size_t totals =
      static_cast<size_t>(context.threads * chunks->runs().block_count) * sizeof(float);
  return MakeOwnKernel(std::move(operands), totals + ArrayBytes(context, *chunks),
                       InnerProductsKernel{context, chunks});
}

KernelOr PlanOptimizerUpdate(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<OptimizerParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const int64_t n = operands[0].shape.element_count();
  std::shared_ptr<const BlockChunks> chunks;
  if (p.runs != nullptr) chunks = std::make_shared<const BlockChunks>(p.runs);
  const size_t bytes = chunks != nullptr ? ArrayBytes(context, *chunks) : 0;
  return MakeOwnKernel(std::move(operands), bytes, OptimizerKernel{context, p, chunks, n});
}

}  // namespace topiary
