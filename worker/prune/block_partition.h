// Cuts a weight in blocks, the units that pruning keeps or drops.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_PARTITION_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_PARTITION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/kernels/op_description.h"
#include "worker/model/layers.h"

namespace topiary {

// Extent of a block: `rows` along K (for a convolution (kh, kw, in)), `cols` along the outputs.
struct BlockShape {
  int64_t rows = 16;
  int64_t cols = 16;
};

// Where a block lies. The block covers rows [row, row + rows) and columns [col, col + cols) of
// matrix `group`; at the edges rows and cols may be smaller than the block shape.
struct BlockPosition {
  int64_t group = 0;
  int64_t row = 0;
  int64_t col = 0;
  int64_t rows = 0;
  int64_t cols = 0;
};

// A weight, seen as groups of rows x cols matrices (worker/model/layers.h), cut in blocks. Blocks
// are numbered by group, then block row, then block column. Edges may be ragged; no block straddles
// groups; every element lies in exactly one block.
//
// Immutable, so thread-safe.
class BlockPartition {
 public:
  // INVALID_ARGUMENT where the block shape has an extent below 1, the layer is empty, or there
  // would be more than 2^31 - 1 blocks.
  static absl::StatusOr<BlockPartition> Create(const PrunableLayer& layer, const BlockShape& block);

  // Number of blocks that Create() would make; INVALID_ARGUMENT as there. Costs no memory.
  static absl::StatusOr<int64_t> CountBlocks(const PrunableLayer& layer, const BlockShape& block);

  // Bytes that Create() takes for runs, before it joins those that go on in one another: blocks of
  // few elements take more than their weight. Only of a layer and block that CountBlocks() accepts.
  static int64_t BytesToCreate(const PrunableLayer& layer, const BlockShape& block);

  const PrunableLayer& layer() const { return layer_; }
  // As asked for, but no larger than the matrix.
  const BlockShape& block() const { return block_; }
  int64_t block_count() const { return runs_->block_count; }
  // Per group.
  int64_t block_rows() const { return block_rows_; }
  int64_t block_cols() const { return block_cols_; }

  // `block` in [0, block_count()).
  BlockPosition Position(int64_t block) const;
  int64_t ElementsIn(int64_t block) const {
    const BlockPosition position = Position(block);
    return position.rows * position.cols;
  }

  // Of the blocks whose entry in `kept` (one per block) is 0, all together.
  int64_t ElementsPruned(absl::Span<const uint8_t> kept) const;

  // The membership of each element as strided runs over the weight as stored, for the kernels.
  const std::shared_ptr<const BlockRuns>& runs() const { return runs_; }

  // Sets the blocks whose entry in `kept` (one per block) is 0 to +0 in `weight` (as stored).
  void ZeroPruned(absl::Span<const uint8_t> kept, absl::Span<float> weight) const;

  // Multiplies each block of `weight` (as stored) by its factor; 0 leaves +0.
  void ScaleBlocks(absl::Span<const float> factors, absl::Span<float> weight) const;

  // Sum of squares of each block of `weight` (as stored), summed in double in the order of the
  // runs.
  std::vector<double> SumsOfSquares(absl::Span<const float> weight) const;

 private:
  PrunableLayer layer_;
  BlockShape block_;
  int64_t block_rows_ = 0;
  int64_t block_cols_ = 0;
  std::shared_ptr<const BlockRuns> runs_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_PARTITION_H_
