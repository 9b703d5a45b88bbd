// Choosing which blocks survive: by score, exactly as many as asked, ties to the lower index.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_SUPPORT_H_
#define TOPIARY_WORKER_PRUNE_SUPPORT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace topiary {

// The support of a layer: one entry per block, 1 where the block is live, 0 where it is pruned.
using Support = std::vector<uint8_t>;

// Number of live blocks.
int64_t LiveBlocks(const Support& support);

// Blocks to keep of `block_count` at `sparsity` in [0, 1]: round((1 - sparsity) * block_count), a
// half rounded up, but at least 1 (0 only where there are no blocks): a layer that lost all its
// blocks would cut the network in two.
int64_t KeptBlocks(double sparsity, int64_t block_count);

// The `keep` blocks of highest score among those live in `candidates` (all blocks where it is
// empty). Where fewer than `keep` are live, all of those. Equal scores go to the lower index; a
// score that is not a number counts as the lowest.
Support SelectTopBlocks(absl::Span<const float> scores, const Support& candidates, int64_t keep);

// How many blocks of a layer are kept, at least and at most.
struct KeptRange {
  int64_t least = 1;
  int64_t most = INT64_MAX;
};

// The same over several layers at once with one ranking: `keep` blocks in all, of which each layer
// has as many as its range in `ranges` (empty: at least one) and its live candidates allow: more
// than `keep` where the ranges ask for them, and fewer where they leave no room. Equal scores go to
// the lower layer, then the lower index. `candidates` is empty or has one support (possibly empty)
// per layer.
std::vector<Support> SelectTopBlocksGlobally(absl::Span<const std::vector<float>> scores,
                                             absl::Span<const Support> candidates, int64_t keep,
                                             absl::Span<const KeptRange> ranges = {});

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SUPPORT_H_
