// Where it pays to leave the pruned blocks of a weight out of products.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_

#include <memory>

#include "worker/kernels/block_sparse_pattern.h"
#include "worker/model/layers.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"

namespace topiary {

// Whether products and gradients that leave out the pruned blocks of a weight are faster than dense
// ones: from half of the blocks pruned where they are 8 or more wide and high, from three quarters
// where 4, and from nine tenths where they are narrower (docs/results.md, block-sparse-layer).
bool WorthSkipping(const BlockSparsePattern& pattern);

// Whether products can leave out blocks of this weight: it is that of one Conv or Gemm, or of one
// MatMul that is not of a stack of matrices.
bool HasSkippableBlocks(const PrunableLayer& layer);

// The blocks that `support` keeps, where leaving out the others is WorthSkipping(); else null.
std::shared_ptr<const BlockSparsePattern> PatternWorthSkipping(const BlockPartition& partition,
                                                               const Support& support);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_
