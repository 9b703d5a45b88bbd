#include "worker/pipeline/sparse_support.h"

#include <memory>
#include <utility>

#include "worker/prune/block_skipping.h"

namespace topiary {

SparseWeights SupportWorthSkipping(const Method& method) {
  SparseWeights weights;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const BlockPartition& partition = *method.layers()[i].partition;
    auto pattern = PatternWorthSkipping(partition, method.support(static_cast<int>(i)));
    if (pattern != nullptr) weights[partition.layer().weight] = std::move(pattern);
  }
  return weights;
}

}  // namespace topiary
