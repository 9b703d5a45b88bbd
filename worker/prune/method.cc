#include "worker/prune/method.h"

namespace topiary {

BlockCounts CountBlocks(const Method& method) {
  BlockCounts counts;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const Support& support = method.support(static_cast<int>(i));
    counts.live += LiveBlocks(support);
    counts.total += static_cast<int64_t>(support.size());
  }
  return counts;
}

}  // namespace topiary
