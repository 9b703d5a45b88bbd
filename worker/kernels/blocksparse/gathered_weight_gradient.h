// The gradient of the kept blocks of a matrix that multiplies rows which the taps of a kernel
// gather from an image (gather.h); a product with a matrix is the case of one tap.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_WEIGHT_GRADIENT_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_WEIGHT_GRADIENT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/blocksparse/block_columns.h"
#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/blocksparse/gather.h"

namespace topiary {

// A block of the gradient, or the part of it that belongs to one tap.
struct WeightPart {
  int64_t tap;
  int64_t input;   // First channel of x,
  int64_t output;  // and of y.
};

// A plan: all memory is the caller's. Thread-safe.
class GatheredWeightGradient {
 public:
  // The pattern's matrices are [taps * inputs / groups, outputs / groups], one for each group.
  GatheredWeightGradient(const BlockSparsePattern& pattern, GatherShape shape,
                         const BlockKernels& kernels, int threads);

  // d_W = x^T d_y, where x is what the taps see of the images and d_y has the pixels of y that are
  // rows, one after the other. Writes the kept blocks, times `factor`, to where `part_at` says, and
  // nothing else. `scratch` is scratch_floats() of memory to work in, aligned to 64 bytes; what it
  // holds before does not matter.
  int64_t scratch_floats() const { return floats_; }
  void Run(const float* x, const float* d_y,
           const std::function<MutableMatrixView(const WeightPart&)>& part_at, float factor,
           float* scratch) const;

 private:
  // Neighbouring channels that one tap sees, at row `at` of their block.
  struct Piece {
    int64_t tap;
    int64_t channel;
    int64_t depth;
    int64_t at;
  };
  // A block row or block column that has kept blocks, in the packed rows.
  struct Slot {
    std::vector<Piece> pieces;  // Of a block row.
    int64_t first = 0;          // Channel of y of a block column.
    int64_t extent = 0;
  };
  struct Block {
    int64_t row_slot;
    int64_t col_slot;
  };
  // The parts of the scratch memory.
  struct Workspace {
    const float** table;  // [taps][pass_]
    float* zeros;         // [inputs]
    float* x;             // [row slots][pass_ x block_rows]
    float* d_y;           // [column slots][pass_ x stride_]
    float* sums;          // [blocks][block_rows, stride_]
  };

  Workspace WorkspaceOf(float* scratch) const;
  // `rows` rows from `first` on, as the products read them. Along columns: slot by slot,
  // [rows][extent], so that rows far apart in memory do not push each other out of the cache. Along
  // rows: a panel for each slot.
  void PackX(const float* x, int64_t first, int64_t rows, const Workspace& workspace) const;
  void PackGradient(const float* d_y, int64_t first, int64_t rows,
                    const Workspace& workspace) const;
  // Adds the products of the rows that are packed to a block's sums.
  void AddTo(const Block& block, int64_t rows, const Workspace& workspace, float* sums) const;
  void Write(const Block& block, const float* sums,
             const std::function<MutableMatrixView(const WeightPart&)>& part_at,
             float factor) const;

  GatherShape shape_;
  const BlockKernels* kernels_;
  int threads_;
  bool along_columns_;
  int64_t block_rows_;
  int64_t stride_;  // Of a block's sums.
  int64_t pass_;    // Rows that are packed at a time.
  std::vector<Slot> rows_;
  std::vector<Slot> cols_;
  std::vector<Block> blocks_;
  // Where the parts of the scratch memory begin after the first, and all of it.
  int64_t zeros_at_;
  int64_t x_at_;
  int64_t d_y_at_;
  int64_t sums_at_;
  int64_t floats_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_WEIGHT_GRADIENT_H_
