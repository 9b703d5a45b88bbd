// Numbers of single weights, in the order of blocks of 1x1 and in that of memory.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_ELEMENT_ORDER_H_
#define TOPIARY_WORKER_PRUNE_ELEMENT_ORDER_H_

#include <memory>

#include "absl/types/span.h"
#include "worker/kernels/op_description.h"
#include "worker/model/layers.h"
#include "worker/prune/block_partition.h"

namespace topiary {

// Whether the blocks of `partition` are single elements that memory has in another order: kernels
// that went through it by the numbers of the blocks would miss the caches at each.
bool ElementsAreReordered(const BlockPartition& partition);

// Of a weight of `size` elements, each a block with the number of its place in memory.
std::shared_ptr<const BlockRuns> RunsOfElements(int64_t size);

// One number for each element of `layer`: by block of 1x1 in `by_block`, by place in `stored`.
void CopyToStoredOrder(const PrunableLayer& layer, absl::Span<const float> by_block,
                       absl::Span<float> stored);
void CopyToBlockOrder(const PrunableLayer& layer, absl::Span<const float> stored,
                      absl::Span<float> by_block);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_ELEMENT_ORDER_H_
