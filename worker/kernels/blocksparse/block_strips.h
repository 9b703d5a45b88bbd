// Columns one output wide, seen from the other side: by the inputs that they share.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_STRIPS_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_STRIPS_H_

#include <cstdint>
#include <vector>

#include "worker/kernels/blocksparse/block_columns.h"
#include "worker/kernels/blocksparse/block_kernels.h"

namespace topiary {

// The tiles of a product along rows whose columns are all one output wide (block_kernels.h). A
// value type: filled once, then only read.
class BlockStrips {
 public:
  BlockStrips() = default;
  // Moves the packed weights of `columns`, which are all 1 wide, to the order in which they are
  // read.
  BlockStrips(const BlockKernels& kernels, BlockColumns* columns);

  bool empty() const { return tiles_.empty(); }
  int64_t size() const { return static_cast<int64_t>(tiles_.size()); }
  // Tile j as the kernels take it; `bias` is that of all outputs, or null.
  BlockTile At(int64_t j, const float* bias, bool relu) const;

 private:
  struct Tile {
    int64_t output;
    int64_t width;
    int64_t first_strip;
    int64_t end_strip;
  };

  std::vector<Tile> tiles_;
  std::vector<BlockStrip> strips_;
  std::vector<int32_t> outputs_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_STRIPS_H_
