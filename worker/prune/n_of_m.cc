#include "worker/prune/n_of_m.h"

#include <algorithm>
#include <vector>

#include "common/check.h"

namespace topiary {
namespace {

void CheckSingleElements(const BlockPartition& partition) {
  CHECK(partition.block().rows == 1 && partition.block().cols == 1) << partition.layer().weight;
}

}  // namespace

int64_t KeptElements(const BlockPartition& partition, const NOfM& n_of_m) {
  CheckSingleElements(partition);
  const PrunableLayer& layer = partition.layer();
  const int64_t of_output =
      layer.rows / n_of_m.m * n_of_m.n + std::min(n_of_m.n, layer.rows % n_of_m.m);
  return of_output * layer.cols * layer.groups;
}

Support SelectNOfM(const BlockPartition& partition, const NOfM& n_of_m,
                   absl::Span<const float> scores, const Support& candidates, int64_t keep) {
  CheckSingleElements(partition);
  CHECK_EQ(static_cast<int64_t>(scores.size()), partition.block_count());
  const PrunableLayer& layer = partition.layer();
  Support best(scores.size(), 0);
  std::vector<float> of_run;
  Support live;
  for (int64_t group = 0; group < layer.groups; ++group) {
    for (int64_t row = 0; row < layer.rows; row += n_of_m.m) {
      const int64_t size = std::min(n_of_m.m, layer.rows - row);
      const int64_t first = (group * layer.rows + row) * layer.cols;
      of_run.resize(size);
      live.assign(size, 1);
      for (int64_t col = 0; col < layer.cols; ++col) {
        for (int64_t i = 0; i < size; ++i) {
          const int64_t block = first + i * layer.cols + col;
          of_run[i] = scores[block];
          if (!candidates.empty()) live[i] = candidates[block];
        }
        const Support kept = SelectTopBlocks(of_run, live, n_of_m.n);
        for (int64_t i = 0; i < size; ++i) best[first + i * layer.cols + col] = kept[i];
      }
    }
  }
  const int64_t more = keep - LiveBlocks(best);
  if (more <= 0) return best;
  Support others(scores.size());
  for (size_t i = 0; i < others.size(); ++i) {
    others[i] = best[i] == 0 && (candidates.empty() || candidates[i] != 0) ? 1 : 0;
  }
  const Support added = SelectTopBlocks(scores, others, more);
  for (size_t i = 0; i < added.size(); ++i) best[i] |= added[i];
  return best;
}

}  // namespace topiary
