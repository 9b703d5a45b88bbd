// The passes over parameters: block scales, inner products per block, optimizers.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kLine = 16;

absl::Status SettlePlain(std::vector<TensorDescription>* operands) {
  for (TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) return absl::UnimplementedError("plain operands only");
  }
  return absl::OkStatus();
}

// Calls body(first run, count, thread) so that each thread has about as many elements, planned as
// if runs had equal lengths.
template <typename Body>
void ParallelRuns(int threads, const BlockRuns& runs, int64_t elements, Body body) {
  const int64_t count = static_cast<int64_t>(runs.runs.size());
  const int64_t grain = std::max<int64_t>(1, kGrain * count / std::max<int64_t>(1, elements));
  ParallelFor(threads, count, grain, 1, [&](int64_t begin, int64_t end, int thread) {
    body(runs.runs.data() + begin, end - begin, thread);
  });
}

struct OptimizerKernel {
  CpuContext context;
  OptimizerParameters p;
  int64_t n;

  void operator()(const KernelMemory& memory) const {
    float* value = memory.At(0);
    const float* gradient = memory.At(1);
    const int slots = OptimizerSlotCount(p);
    float* first = slots > 0 ? memory.At(2) : nullptr;
    float* second = slots > 1 ? memory.At(3) : nullptr;
    const float* block_scale = p.runs != nullptr ? memory.At(2 + slots) : nullptr;
    if (p.kind == OptimizerKind::kSgd) {
      RunSgd(value, gradient, first, block_scale);
    } else {
      RunAdam(value, gradient, first, second, block_scale);
    }
  }

  void RunSgd(float* value, const float* gradient, float* momentum,
              const float* block_scale) const {
    const SgdStep step = {p.scalars->learning_rate * p.learning_rate_multiplier,
                          p.scalars->gradient_scale, p.momentum, p.nesterov, p.weight_decay};
    if (block_scale != nullptr) {
      ParallelRuns(context.threads, *p.runs, n, [&](const BlockRun* runs, int64_t count, int) {
        context.simd->sgd_runs(step, runs, count, block_scale, value, gradient, momentum);
      });
      return;
    }
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      context.simd->sgd(step, end - begin, value + begin, gradient + begin,
                        momentum != nullptr ? momentum + begin : nullptr);
    });
  }

  void RunAdam(float* value, const float* gradient, float* first, float* second,
               const float* block_scale) const {
    const AdamStep step = {p.scalars->learning_rate * p.learning_rate_multiplier,
                           p.scalars->gradient_scale,
                           p.beta1,
                           p.beta2,
                           p.epsilon,
                           p.weight_decay,
                           p.kind == OptimizerKind::kAdamW,
                           p.scalars->bias_correction_1,
                           p.scalars->bias_correction_2};
    if (block_scale != nullptr) {
      ParallelRuns(context.threads, *p.runs, n, [&](const BlockRun* runs, int64_t count, int) {
        context.simd->adam_runs(step, runs, count, block_scale, value, gradient, first, second);
      });
      return;
    }
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      context.simd->adam(step, end - begin, value + begin, gradient + begin, first + begin,
                         second + begin);
    });
  }
};

struct InnerProductsKernel {
  CpuContext context;
  std::shared_ptr<const BlockRuns> runs;
  int64_t n;

  // Each thread adds to blocks of its own array; the arrays are added in order.
  void operator()(const KernelMemory& memory) const {
    const int64_t blocks = runs->block_count;
    float* partials = memory.Scratch();
    std::fill(partials, partials + blocks * context.threads, 0.0f);
    ParallelRuns(context.threads, *runs, n, [&](const BlockRun* first, int64_t count, int thread) {
      context.simd->inner_products(first, count, memory.At(0), memory.At(1),
                                   partials + blocks * thread);
    });
    float* dst = memory.At(2);
    std::memcpy(dst, partials, blocks * sizeof(float));
    for (int thread = 1; thread < context.threads; ++thread) {
      context.simd->binary({BinaryFunction::kAdd, false}, blocks, dst, 1,
                           partials + blocks * thread, 1, dst);
    }
  }
};

}  // namespace

KernelOr PlanScaleBlocks(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<BlockParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const int64_t n = operands[0].shape.element_count();
  return MakeOwnKernel(
      std::move(operands), 0, [context, runs = p.runs, n](const KernelMemory& memory) {
        ParallelRuns(context.threads, *runs, n, [&](const BlockRun* first, int64_t count, int) {
          context.simd->scale_runs(first, count, memory.At(1), memory.At(0), memory.At(2));
        });
      });
}

KernelOr PlanBlockInnerProducts(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<BlockParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const int64_t n = operands[0].shape.element_count();
  const size_t bytes = static_cast<size_t>(context.threads * p.runs->block_count) * sizeof(float);
  return MakeOwnKernel(std::move(operands), bytes, InnerProductsKernel{context, p.runs, n});
}

KernelOr PlanOptimizerUpdate(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<OptimizerParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const int64_t n = operands[0].shape.element_count();
  return MakeOwnKernel(std::move(operands), 0, OptimizerKernel{context, p, n});
}

}  // namespace topiary
