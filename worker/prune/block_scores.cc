#include "worker/prune/block_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "common/random.h"

namespace topiary {
namespace {

// As AddSumsOfSquares(), but for the elements that a candidate has in one of `others` too, parts of
// the same weight.
void AddSumsOfSquaresBeside(absl::Span<const CandidatePart* const> others,
                            const CandidatePart& part, absl::Span<const float> weight,
                            absl::Span<double> sums) {
  std::vector<std::vector<int32_t>> owners;
  for (const CandidatePart* other : others) owners.push_back(CandidateOfEach(*other));
  for (const BlockRun& run : part.runs) {
    for (int64_t i = 0; i < run.length; ++i) {
      const int64_t at = run.At(i);
      const bool known =
          std::any_of(owners.begin(), owners.end(),
                      [&](const std::vector<int32_t>& owner) { return owner[at] == run.block; });
      const double value = weight[at];
      if (!known) sums[run.block] += value * value;
    }
  }
}

// Over all that is coupled: scaling what makes a channel up and what reads it down changes nothing.
std::vector<float> CandidateNorms(const CandidateGroup& group, LayerTensors& tensors) {
  std::vector<double> squares(group.count(), 0.0);
  std::map<std::string, std::vector<const CandidatePart*>> added;  // By weight.
  for (const absl::Span<const CandidatePart> parts : {group.scaled(), group.coupled()}) {
    for (const CandidatePart& part : parts) {
      if (!part.counted) continue;
      const absl::Span<const float> weight = tensors.RawWeight(part.weight);
      std::vector<const CandidatePart*>& before = added[part.weight];
      if (before.empty()) {
        AddSumsOfSquares(part, weight, absl::MakeSpan(squares));
      } else {
        AddSumsOfSquaresBeside(before, part, weight, absl::MakeSpan(squares));
      }
      before.push_back(&part);
    }
  }
  return Roots(squares);
}

}  // namespace

std::vector<float> Roots(absl::Span<const double> squares) {
  std::vector<float> roots;
  roots.reserve(squares.size());
  for (const double square : squares) roots.push_back(static_cast<float>(std::sqrt(square)));
  return roots;
}

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
    // A block that is not a number stays: to prune it would hide that training has diverged.
    for (float& score : scores.back()) {
      if (std::isnan(score)) score = std::numeric_limits<float>::infinity();
    }
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
