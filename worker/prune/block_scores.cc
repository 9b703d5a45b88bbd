#include "worker/prune/block_scores.h"

#include <cmath>
#include <utility>

#include "common/random.h"

namespace topiary {
namespace {

std::vector<float> Roots(absl::Span<const double> squares) {
  std::vector<float> roots;
  roots.reserve(squares.size());
  for (const double square : squares) roots.push_back(static_cast<float>(std::sqrt(square)));
  return roots;
}

// Over all that is coupled: scaling what makes a channel up and what reads it down changes nothing.
std::vector<float> CandidateNorms(const CandidateGroup& group, LayerTensors& tensors) {
  std::vector<double> squares(group.count(), 0.0);
  for (const absl::Span<const CandidatePart> parts : {group.scaled(), group.coupled()}) {
    for (const CandidatePart& part : parts) {
      AddSumsOfSquares(part, tensors.RawWeight(part.weight), absl::MakeSpan(squares));
    }
  }
  return Roots(squares);
}

}  // namespace

std::vector<float> BlockNorms(const BlockPartition& partition, absl::Span<const float> values) {
  return Roots(partition.SumsOfSquares(values));
}

std::vector<std::vector<float>> BlockNorms(absl::Span<const MethodLayer> layers,
                                           LayerTensors& tensors) {
  std::vector<std::vector<float>> scores;
  for (size_t i = 0; i < layers.size(); ++i) {
    scores.push_back(
        layers[i].group != nullptr
            ? CandidateNorms(*layers[i].group, tensors)
            : BlockNorms(*layers[i].partition, tensors.RawWeights(static_cast<int>(i))));
  }
  return scores;
}

std::vector<std::vector<float>> RandomScores(absl::Span<const MethodLayer> layers, uint64_t seed) {
  std::vector<std::vector<float>> scores;
  for (size_t i = 0; i < layers.size(); ++i) {
    Random random(seed, kStreamPruning | (uint64_t{i} << 32), 0);
    std::vector<float> drawn(layers[i].block_count());
    for (float& score : drawn) score = static_cast<float>(random.Uniform());
    scores.push_back(std::move(drawn));
  }
  return scores;
}

}  // namespace topiary
