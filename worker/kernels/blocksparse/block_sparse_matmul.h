// Products with a matrix of which only some blocks are kept, and the gradients of both operands.
// The work is proportional to the blocks kept. Single precision.
//
// Threads of OpenMP; results depend on the arguments, the instruction set and the number of threads
// alone, so that a run repeats its bits.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_MATMUL_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_MATMUL_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/blocksparse/block_columns.h"
#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/blocksparse/gathered_product.h"
#include "worker/kernels/blocksparse/gathered_weight_gradient.h"

namespace topiary {

// y = relu?(x W + bias), where x is [rows, inputs], W is [inputs, outputs] and sparse by blocks,
// and y is [rows, outputs], both row-major. The gradient of x is the same product with the
// transposed pattern and weights: d_x = d_y W^T.
//
// A plan: all memory is the caller's. Thread-safe.
class BlockSparseMatMul {
 public:
  // For so many rows. INVALID_ARGUMENT where rows or threads are below 1, or the pattern is of
  // several matrices. `isa` must be one that the processor has.
  static absl::StatusOr<BlockSparseMatMul> Create(const BlockSparsePattern& pattern, int64_t rows,
                                                  CpuIsa isa, int threads);

  // Copies the kept blocks, times `factor`, to `packed`, packed_floats() of them, in the order in
  // which products read them. Weights outside them are never read.
  int64_t packed_floats() const { return product_.columns().packed_floats(); }
  void Pack(const MatrixView& weights, float factor, float* packed) const;

  // Whether what `other` packs can be multiplied by this plan, which may be for other rows.
  bool PacksLike(const BlockSparseMatMul& other) const;

  // `bias` is [outputs], or null. `scratch` is scratch_floats() of memory to work in; what it holds
  // before does not matter.
  int64_t scratch_floats() const { return product_.scratch_floats(); }
  void Run(const float* x, const float* packed, const float* bias, bool relu, float* scratch,
           float* y, const FinishRows& finish = {}) const {
    product_.Run(x, packed, bias, relu, scratch, y, finish);
  }

 private:
  BlockSparseMatMul(int64_t inputs, GatheredProduct product, int threads)
      : inputs_(inputs), product_(std::move(product)), threads_(threads) {}

  int64_t inputs_;
  GatheredProduct product_;
  int threads_;
};

// The gradient of W's kept blocks: d_W = x^T d_y.
//
// A plan: all memory is the caller's. Thread-safe.
class BlockSparseWeightGradient {
 public:
  // As BlockSparseMatMul::Create(); `pattern` is that of W [inputs, outputs].
  static absl::StatusOr<BlockSparseWeightGradient> Create(const BlockSparsePattern& pattern,
                                                          int64_t rows, CpuIsa isa, int threads);

  // x is [rows, inputs], d_y is [rows, outputs], row-major. Writes the kept blocks of `d_weights`,
  // times `factor`, and nothing else. `scratch` is scratch_floats() of memory to work in; what it
  // holds before does not matter.
  int64_t scratch_floats() const { return gradient_.scratch_floats(); }
  void Run(const float* x, const float* d_y, const MutableMatrixView& d_weights, float factor,
           float* scratch) const;

 private:
  explicit BlockSparseWeightGradient(GatheredWeightGradient gradient)
      : gradient_(std::move(gradient)) {}

  GatheredWeightGradient gradient_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_MATMUL_H_
