#include "worker/pipeline/sparse_support.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "worker/model/layers.h"

namespace topiary {

bool WorthSkipping(const BlockSparsePattern& pattern) {
  const double density = static_cast<double>(pattern.kept_elements()) /
                         static_cast<double>(pattern.rows * pattern.cols);
  const int64_t narrow = std::min(pattern.block_rows, pattern.block_cols);
  return density <= (narrow >= 8 ? 0.5 : narrow >= 4 ? 0.25 : 0.1);
}

SparseWeights SupportWorthSkipping(const Method& method) {
  SparseWeights weights;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const BlockPartition& partition = *method.layers()[i].partition;
    const PrunableLayer& layer = partition.layer();
    if (layer.kind == LayerKind::kConv || layer.groups != 1) continue;
    // A layer of several nodes is seen as the first of them does, which may be one that nobody
    // needs.
    if (layer.nodes.size() != 1) continue;
    absl::StatusOr<BlockSparsePattern> pattern =
        BlockSparsePattern::Create(layer.rows, layer.cols, partition.block().rows,
                                   partition.block().cols, method.support(static_cast<int>(i)));
    if (!pattern.ok() || !WorthSkipping(*pattern)) continue;
    weights[layer.weight] = std::make_shared<const BlockSparsePattern>(*std::move(pattern));
  }
  return weights;
}

}  // namespace topiary
