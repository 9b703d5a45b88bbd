#include "worker/prune/block_scores.h"

#include <cmath>
#include <utility>

#include "common/random.h"

namespace topiary {

std::vector<std::vector<float>> BlockNorms(absl::Span<const MethodLayer> layers,
                                           LayerTensors& tensors) {
  std::vector<std::vector<float>> scores;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::vector<double> squares =
        layers[i].partition->SumsOfSquares(tensors.RawWeights(static_cast<int>(i)));
    std::vector<float> norms;
    norms.reserve(squares.size());
    for (const double square : squares) norms.push_back(static_cast<float>(std::sqrt(square)));
    scores.push_back(std::move(norms));
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
