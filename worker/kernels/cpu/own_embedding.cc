// Tables of which a step reads few rows: reading them, their gradient and their update.
#include <algorithm>
#include <cstring>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/embedding_rows.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 8192;  // Elements for which a second thread starts to pay.

// Rows lie anywhere: each is asked for while so many before it are worked on.
constexpr int64_t kPrefetchDistance = 12;

// Calls body(i) for touched rows [begin, end).
template <typename Body>
void ForTouchedRows(const EmbeddingRows& table, int64_t begin, int64_t end, const Body& body) {
  for (int64_t i = begin; i < end; ++i) {
    if (i + kPrefetchDistance < end) table.Prefetch(table.touched[i + kPrefetchDistance]);
    body(i);
  }
}

// Calls body(begin, end) for parts of the touched rows, the same in each kernel: a thread then
// finds what it left in its own caches.
template <typename Body>
void ForPartsOfTouchedRows(const CpuContext& context, const EmbeddingRows& table, Body body) {
  const auto rows = static_cast<int64_t>(table.touched.size());
  ParallelFor(context.threads, rows, kGrain / table.width + 1, 1,
              [&](int64_t begin, int64_t end, int) { body(begin, end); });
}

struct EmbeddingForward {
  CpuContext context;
  EmbeddingRows* table;
  int64_t count;

  void operator()(const KernelMemory& memory) const {
    float* dst = memory.At(1);
    const int64_t width = table->width;
    table->Touch(memory.At<int64_t>(0), count);
    ForPartsOfTouchedRows(context, *table, [&](int64_t begin, int64_t end) {
      ForTouchedRows(*table, begin, end, [&](int64_t i) { table->CatchUp(table->touched[i]); });
      for (int64_t i = 0; i < count; ++i) {
        const int64_t place = table->place_of_index[i];
        if (place < begin || place >= end) continue;
        std::memcpy(dst + i * width, table->value + table->touched[place] * width,
                    width * sizeof(float));
      }
    });
    for (int64_t i = 0; i < count; ++i) {
      if (table->place_of_index[i] < 0) std::fill_n(dst + i * width, width, 0.0f);
    }
  }
};

// Each thread fills rows of its own and looks for them among all indices, so that sums are added in
// the order of the indices whatever the number of threads.
struct EmbeddingBackward {
  CpuContext context;
  EmbeddingRows* table;
  int64_t count;

  void operator()(const KernelMemory& memory) const {
    const float* d_dst = memory.At(0);
    const int64_t width = table->width;
    float* gradient = table->gradient.data();
    ForPartsOfTouchedRows(context, *table, [&](int64_t begin, int64_t end) {
      std::fill(gradient + begin * width, gradient + end * width, 0.0f);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t place = table->place_of_index[i];
        if (place < begin || place >= end) continue;
        const float* term = d_dst + i * width;
        for (int64_t j = 0; j < width; ++j) gradient[place * width + j] += term[j];
      }
    });
  }
};

struct EmbeddingUpdate {
  CpuContext context;
  OptimizerParameters p;
  EmbeddingRows* table;

  void operator()(const KernelMemory&) const {
    const SgdStep step = {p.scalars->learning_rate * p.learning_rate_multiplier,
                          p.scalars->gradient_scale, p.momentum, p.nesterov, p.weight_decay};
    const int64_t width = table->width;
    ForPartsOfTouchedRows(context, *table, [&](int64_t begin, int64_t end) {
      ForTouchedRows(*table, begin, end, [&](int64_t i) {
        const int64_t row = table->touched[i];
        float* momentum = table->momentum == nullptr ? nullptr : table->momentum + row * width;
        context.simd->sgd(step, nullptr, width, table->value + row * width,
                          table->gradient.data() + i * width, momentum);
        if (table->missed != nullptr) ++table->applied[row];
      });
    });
  }
};

}  // namespace

KernelOr PlanEmbeddingForward(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettlePlain(&operands));
  const int64_t count = operands[0].shape[0];
  EmbeddingRows* table = std::get<EmbeddingParameters>(op.parameters).table;
  return MakeOwnKernel(std::move(operands), 0, EmbeddingForward{context, table, count});
}

KernelOr PlanEmbeddingBackward(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettlePlain(&operands));
  const int64_t count = operands[1].shape[0];
  EmbeddingRows* table = std::get<EmbeddingParameters>(op.parameters).table;
  return MakeOwnKernel(std::move(operands), 0, EmbeddingBackward{context, table, count});
}

KernelOr PlanEmbeddingUpdate(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<EmbeddingParameters>(op.parameters);
  return MakeOwnKernel({}, 0, EmbeddingUpdate{context, p.update, p.table});
}

}  // namespace topiary
