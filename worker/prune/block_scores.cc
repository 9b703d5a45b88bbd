#include "worker/prune/block_scores.h"

#include <cmath>
#include <utility>

#include "common/random.h"

namespace topiary {

std::vector<float> BlockNorms(const BlockPartition& partition, absl::Span<const float> values) {
  std::vector<float> norms;
  for (const double square : partition.SumsOfSquares(values)) {
    norms.push_back(static_cast<float>(std::sqrt(square)));
  }
  return norms;
}

std::vector<std::vector<float>> BlockNorms(absl::Span<const MethodLayer> layers,
                                           LayerTensors& tensors) {
  std::vector<std::vector<float>> scores;
  for (size_t i = 0; i < layers.size(); ++i) {
    scores.push_back(BlockNorms(*layers[i].partition, tensors.RawWeights(static_cast<int>(i))));
  }
  return scores;
}

std::vector<std::vector<float>> RandomScores(absl::Span<const MethodLayer> layers, uint64_t seed) {
  std::vector<std::vector<float>> scores;
  for (size_t i = 0; i < layers.size(); ++i) {
    Random random(seed, kStreamPruning | (uint64_t{i} << 32), 0);
    std::vector<float> drawn(layers[i].partition->block_count());
    for (float& score : drawn) score = static_cast<float>(random.Uniform());
    scores.push_back(std::move(drawn));
  }
  return scores;
}

}  // namespace topiary
