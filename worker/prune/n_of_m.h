// N:M sparsity: of each M weights that follow one another along the inputs of an output, N are kept
// (Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, for 2:4).
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_N_OF_M_H_
#define TOPIARY_WORKER_PRUNE_N_OF_M_H_

#include <cstdint>

#include "absl/types/span.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"

namespace topiary {

// 1 <= n < m. Runs of m begin at input 0 of each matrix; the last may be shorter, and keeps n, or
// all where it has no more: as if it were filled up with zeros.
struct NOfM {
  int64_t n = 2;
  int64_t m = 4;

  double sparsity() const { return 1 - static_cast<double>(n) / static_cast<double>(m); }
};

// Weights that `partition`, of single elements (CHECK), keeps.
int64_t KeptElements(const BlockPartition& partition, const NOfM& n_of_m);

// The `keep` elements of highest score among those live in `candidates` (all where it is empty); of
// each run the best n among them, or all where no more are live, before any other. With
// KeptElements(), which is the least that `keep` may be while a run has more than n live, exactly
// those. Equal scores go to the lower index, one that is not a number is the lowest.
Support SelectNOfM(const BlockPartition& partition, const NOfM& n_of_m,
                   absl::Span<const float> scores, const Support& candidates, int64_t keep);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_N_OF_M_H_
