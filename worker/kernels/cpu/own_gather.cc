// Rows picked by indices, and their gradient.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 16384;  // Elements for which a second thread starts to pay.

// [outer, n, inner] and [outer, k, inner].
struct Extents {
  int64_t outer;
  int64_t n;
  int64_t k;
  int64_t inner;
};

Extents ExtentsOf(const Shape& src, const Shape& dst) { return {src[0], src[1], dst[1], src[2]}; }

// The row that `index` names, or -1.
int64_t RowOf(int64_t index, int64_t n) {
  if (index < 0) index += n;
  return index < 0 || index >= n ? -1 : index;
}

struct GatherKernel {
  CpuContext context;
  Extents e;
  size_t row_bytes;

  void operator()(const KernelMemory& memory) const {
    const char* src = memory.At<char>(0);
    const int64_t* indices = memory.At<int64_t>(1);
    char* dst = memory.At<char>(2);
    ParallelFor(context.threads, e.outer * e.k, kGrain / e.inner + 1, 1,
                [&](int64_t begin, int64_t end, int) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t row = RowOf(indices[i % e.k], e.n);
                    char* at = dst + i * row_bytes;
                    if (row < 0) {
                      std::memset(at, 0, row_bytes);
                    } else {
                      std::memcpy(at, src + (i / e.k * e.n + row) * row_bytes, row_bytes);
                    }
                  }
                });
  }
};

// Each thread fills rows of its own and looks for them among all indices, so that sums are added in
// the order of the indices whatever the number of threads.
struct GatherBackwardKernel {
  CpuContext context;
  Extents e;

  void operator()(const KernelMemory& memory) const {
    const int64_t rows = e.outer * e.n;
    ParallelFor(context.threads, rows, kGrain / e.inner + 1, 1,
                [&](int64_t begin, int64_t end, int) { Fill(memory, begin, end); });
  }

  // The rows [begin, end) of d_src, seen as [outer * n, inner].
  void Fill(const KernelMemory& memory, int64_t begin, int64_t end) const {
    const float* d_dst = memory.At(0);
    const int64_t* indices = memory.At<int64_t>(1);
    float* d_src = memory.At(2);
    std::fill(d_src + begin * e.inner, d_src + end * e.inner, 0.0f);
    if (begin == end) return;
    for (int64_t outer = begin / e.n; outer <= (end - 1) / e.n; ++outer) {
      for (int64_t k = 0; k < e.k; ++k) {
        const int64_t row = RowOf(indices[k], e.n), at = outer * e.n + row;
        if (row < 0 || at < begin || at >= end) continue;
        float* sum = d_src + at * e.inner;
        context.simd->binary({BinaryFunction::kAdd, false}, e.inner, sum, 1,
                             d_dst + (outer * e.k + k) * e.inner, 1, sum);
      }
    }
  }
};

}  // namespace

KernelOr PlanGather(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const Extents extents = ExtentsOf(operands[0].shape, operands[2].shape);
  const size_t bytes = static_cast<size_t>(extents.inner) * SizeOf(operands[0].dtype);
  return MakeOwnKernel(std::move(operands), 0, GatherKernel{context, extents, bytes});
}

KernelOr PlanGatherBackward(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const Extents extents = ExtentsOf(operands[2].shape, operands[0].shape);
  return MakeOwnKernel(std::move(operands), 0, GatherBackwardKernel{context, extents});
}

}  // namespace topiary
