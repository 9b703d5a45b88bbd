#include "worker/prune/block_skipping.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"

namespace topiary {

bool WorthSkipping(const BlockSparsePattern& pattern) {
  const double density =
      static_cast<double>(pattern.kept_elements()) / static_cast<double>(pattern.elements());
  const int64_t narrow = std::min(pattern.block_rows, pattern.block_cols);
  return density <= (narrow >= 8 ? 0.5 : narrow >= 4 ? 0.25 : 0.1);
}

bool HasSkippableBlocks(const PrunableLayer& layer) {
  // A layer of several nodes is seen as the first of them does, which may be one that nobody needs.
  if (layer.kind != LayerKind::kConv && layer.groups > 1) return false;
  return layer.nodes.size() == 1;
}

std::shared_ptr<const BlockSparsePattern> PatternWorthSkipping(const BlockPartition& partition,
                                                               const Support& support) {
  const PrunableLayer& layer = partition.layer();
  if (!HasSkippableBlocks(layer)) return nullptr;
  absl::StatusOr<BlockSparsePattern> pattern =
      BlockSparsePattern::Create(layer.rows, layer.cols, partition.block().rows,
                                 partition.block().cols, support, layer.groups);
  if (!pattern.ok() || !WorthSkipping(*pattern)) return nullptr;
  return std::make_shared<const BlockSparsePattern>(*std::move(pattern));
}

}  // namespace topiary
