// Scores by which methods rank blocks, one per block and layer: the higher, the longer a block
// stays.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_SCORES_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_SCORES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "worker/prune/method.h"

namespace topiary {

// The root of each sum of squares.
std::vector<float> Roots(absl::Span<const double> squares);

// The Frobenius norm of each block of `values`, a tensor as `partition`'s layer is stored, summed
// in double.
std::vector<float> BlockNorms(const BlockPartition& partition, absl::Span<const float> values);

// The same of the raw weights of each layer; of a group over all elements that a candidate has in
// parts that are counted, scaled or coupled, each once: biases and normalization do not count.
std::vector<std::vector<float>> BlockNorms(absl::Span<const MethodLayer> layers,
                                           LayerTensors& tensors);

// Uniform in [0, 1), drawn for each block from (seed, index of the layer, block): every set of
// blocks of one size is as likely as any other.
std::vector<std::vector<float>> RandomScores(absl::Span<const MethodLayer> layers, uint64_t seed);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_SCORES_H_
