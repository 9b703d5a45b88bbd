#include "worker/prune/support.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"

namespace topiary {
namespace {

struct Candidate {
  float score;
  int32_t layer;
  int64_t block;
};

// A strict order without equals: what comes first is kept first.
bool Better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.layer != b.layer) return a.layer < b.layer;
  return a.block < b.block;
}

float Comparable(float score) {
  return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
}

void AddCandidates(absl::Span<const float> scores, const Support& live, int32_t layer,
                   std::vector<Candidate>* out) {
  CHECK(live.empty() || live.size() == scores.size()) << "scores and support differ in length";
  for (size_t block = 0; block < scores.size(); ++block) {
    if (!live.empty() && !live[block]) continue;
    out->push_back({Comparable(scores[block]), layer, static_cast<int64_t>(block)});
  }
}

// Moves the best `keep` candidates to the front, in no order among themselves.
void PartitionBest(int64_t keep, std::vector<Candidate>* candidates) {
  if (keep <= 0 || keep >= static_cast<int64_t>(candidates->size())) return;
  std::nth_element(candidates->begin(), candidates->begin() + (keep - 1), candidates->end(),
                   Better);
}

}  // namespace

int64_t LiveBlocks(const Support& support) {
  return std::count_if(support.begin(), support.end(), [](uint8_t live) { return live != 0; });
}

int64_t KeptBlocks(double sparsity, int64_t block_count) {
  if (block_count <= 0) return 0;
  // The small term makes up for 1 - 0.9 being slightly less than 0.1, which would round a half
  // down.
  const double exact = (1.0 - std::clamp(sparsity, 0.0, 1.0)) * static_cast<double>(block_count);
  const auto kept = static_cast<int64_t>(std::floor(exact + 0.5 + 1e-9));
  return std::clamp<int64_t>(kept, 1, block_count);
}

Support SelectTopBlocks(absl::Span<const float> scores, const Support& candidates, int64_t keep) {
  std::vector<Candidate> ranked;
  ranked.reserve(scores.size());
  AddCandidates(scores, candidates, 0, &ranked);
  PartitionBest(keep, &ranked);
  Support support(scores.size(), 0);
  const auto kept = std::clamp<int64_t>(keep, 0, static_cast<int64_t>(ranked.size()));
  for (int64_t i = 0; i < kept; ++i) support[ranked[i].block] = 1;
  return support;
}

std::vector<Support> SelectTopBlocksGlobally(absl::Span<const std::vector<float>> scores,
                                             absl::Span<const Support> candidates, int64_t keep,
                                             absl::Span<const KeptRange> ranges) {
  CHECK(candidates.empty() || candidates.size() == scores.size());
  CHECK(ranges.empty() || ranges.size() == scores.size());
  static const Support* const kAllLive = new Support();
  std::vector<Candidate> ranked;
  std::vector<Support> supports;
  for (size_t layer = 0; layer < scores.size(); ++layer) {
    const Support& live = candidates.empty() ? *kAllLive : candidates[layer];
    const KeptRange range = ranges.empty() ? KeptRange() : ranges[layer];
    // The best blocks of a layer are kept whatever the others score.
    supports.push_back(SelectTopBlocks(scores[layer], live, range.least));
    const Support contenders = SelectTopBlocks(scores[layer], live, range.most);
    const size_t first = ranked.size();
    AddCandidates(scores[layer], contenders, static_cast<int32_t>(layer), &ranked);
    ranked.erase(std::remove_if(ranked.begin() + static_cast<int64_t>(first), ranked.end(),
                                [&](const Candidate& c) { return supports.back()[c.block] != 0; }),
                 ranked.end());
  }
  int64_t left = keep;
  for (const Support& support : supports) left -= LiveBlocks(support);
  left = std::clamp<int64_t>(left, 0, static_cast<int64_t>(ranked.size()));
  PartitionBest(left, &ranked);
  for (int64_t i = 0; i < left; ++i) supports[ranked[i].layer][ranked[i].block] = 1;
  return supports;
}

}  // namespace topiary
