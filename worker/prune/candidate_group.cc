#include "worker/prune/candidate_group.h"

#include <utility>

#include "common/check.h"

namespace topiary {

CandidateGroup::CandidateGroup(std::string name, int64_t count, std::vector<CandidatePart> scaled,
                               std::vector<CandidatePart> coupled,
                               std::vector<std::string> candidate_names)
    : name_(std::move(name)),
      count_(count),
      scaled_(std::move(scaled)),
      coupled_(std::move(coupled)),
      candidate_names_(std::move(candidate_names)) {
  std::vector<bool> occurs(count_, false);
  for (const CandidatePart& part : scaled_) {
    for (const BlockRun& run : part.runs) occurs.at(run.block) = true;
  }
  for (const bool candidate : occurs) CHECK(candidate) << "a candidate of " << name_ << " is empty";
}

std::vector<int32_t> CandidateOfEach(const CandidatePart& part) {
  std::vector<int32_t> candidates(part.elements, -1);
  for (const BlockRun& run : part.runs) {
    for (int64_t i = 0; i < run.length; ++i) {
      candidates[run.At(i)] = static_cast<int32_t>(run.BlockOf(i));
    }
  }
  return candidates;
}

void AddSumsOfSquares(const CandidatePart& part, absl::Span<const float> weight,
                      absl::Span<double> sums) {
  CHECK_EQ(static_cast<int64_t>(weight.size()), part.elements);
  for (const BlockRun& run : part.runs) {
    double sum = 0;
    for (int32_t i = 0; i < run.length; ++i) {
      const double value = weight[run.offset + int64_t{i} * run.stride];
      sum += value * value;
    }
    sums[run.block] += sum;
  }
}

void ZeroPruned(const CandidatePart& part, absl::Span<const uint8_t> kept,
                absl::Span<float> weight) {
  CHECK_EQ(static_cast<int64_t>(weight.size()), part.elements);
  for (const BlockRun& run : part.runs) {
    if (kept[run.block] != 0) continue;
    for (int32_t i = 0; i < run.length; ++i) weight[run.offset + int64_t{i} * run.stride] = 0.0F;
  }
}

}  // namespace topiary
