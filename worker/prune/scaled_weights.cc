#include "worker/prune/scaled_weights.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/block_runs.h"
#include "worker/prune/element_order.h"

namespace topiary {

absl::StatusOr<ScaledWeights> ScaledWeights::Create(absl::Span<const MethodLayer> layers) {
  ScaledWeights scaled;
  std::set<std::string> seen;
  for (size_t i = 0; i < layers.size(); ++i) {
    const MethodLayer& layer = layers[i];
    scaled.sums_.emplace_back(layer.group == nullptr ? 0 : layer.group->count());
    scaled.products_.emplace_back(scaled.sums_.back().size());
    if (layer.group == nullptr) {
      scaled.AddLayer(layer, static_cast<int>(i));
      continue;
    }
    for (const CandidatePart& part : layer.group->scaled()) {
      if (seen.insert(part.weight).second) RETURN_IF_ERROR(scaled.AddParts(layers, part.weight));
    }
  }
  return scaled;
}

void ScaledWeights::AddLayer(const MethodLayer& layer, int index) {
  const bool reordered = ElementsAreReordered(*layer.partition);
  const int64_t count = layer.partition->block_count();
  if (reordered) products_[index].resize(count);
  weights_.push_back({layer.weight, reordered ? RunsOfElements(count) : layer.partition->runs()});
  reordered_.push_back(reordered ? layer.partition : nullptr);
  candidates_.emplace_back();
  layers_.push_back(index);
}

// All that candidates have of `weight`.
absl::Status ScaledWeights::AddParts(absl::Span<const MethodLayer> layers,
                                     const std::string& weight) {
  auto runs = std::make_shared<BlockRuns>();
  std::vector<Candidate> candidates;
  int64_t size = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].group == nullptr) continue;
    for (const CandidatePart& part : layers[i].group->scaled()) {
      if (part.weight != weight) continue;
      size = part.elements;
      // Not every candidate has elements here, and every block must have some.
      std::vector<int32_t> blocks(layers[i].group->count(), -1);
      for (BlockRun run : part.runs) {
        int32_t& block = blocks[run.block];
        if (block < 0) {
          block = static_cast<int32_t>(candidates.size());
          candidates.push_back({static_cast<int32_t>(i), run.block});
        }
        run.block = block;
        runs->runs.push_back(run);
      }
    }
  }
  std::vector<BlockRun> rest =
      RunsOfRest(runs->runs, size, static_cast<int32_t>(candidates.size()));
  if (!rest.empty()) candidates.emplace_back();
  runs->runs.insert(runs->runs.end(), rest.begin(), rest.end());
  int64_t covered = 0;
  for (const BlockRun& run : runs->runs) covered += run.length;
  if (covered != size || candidates.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("elements of weight '", weight, "' belong to two candidates"));
  }
  SortAndJoin(&runs->runs);
  runs->block_count = static_cast<int64_t>(candidates.size());
  weights_.push_back({weight, std::move(runs)});
  candidates_.push_back(std::move(candidates));
  layers_.push_back(-1);
  reordered_.emplace_back();
  return absl::OkStatus();
}

void ScaledWeights::CopyScales(const Method& method, int index,
                               absl::Span<float> block_scales) const {
  if (layers_[index] >= 0) {
    const absl::Span<const float> scales = method.scales(layers_[index]);
    if (reordered_[index] != nullptr) {
      CopyToStoredOrder(reordered_[index]->layer(), scales, block_scales);
    } else {
      std::copy(scales.begin(), scales.end(), block_scales.begin());
    }
    return;
  }
  const std::vector<Candidate>& candidates = candidates_[index];
  for (size_t block = 0; block < candidates.size(); ++block) {
    const Candidate& of = candidates[block];
    block_scales[block] = of.layer < 0 ? 1.0F : method.scales(of.layer)[of.index];
  }
}

std::vector<absl::Span<const float>> ScaledWeights::InnerProducts(
    absl::Span<const absl::Span<const float>> of_blocks) {
  CHECK_EQ(of_blocks.size(), weights_.size());
  std::vector<absl::Span<const float>> products(sums_.size());
  for (std::vector<double>& sums : sums_) std::fill(sums.begin(), sums.end(), 0.0);
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (layers_[i] >= 0) {
      products[layers_[i]] = of_blocks[i];
      if (reordered_[i] != nullptr) {
        std::vector<float>& by_block = products_[layers_[i]];
        CopyToBlockOrder(reordered_[i]->layer(), of_blocks[i], absl::MakeSpan(by_block));
        products[layers_[i]] = by_block;
      }
      continue;
    }
    for (size_t block = 0; block < candidates_[i].size(); ++block) {
      const Candidate& of = candidates_[i][block];
      if (of.layer >= 0) sums_[of.layer][of.index] += of_blocks[i][block];
    }
  }
  for (size_t layer = 0; layer < sums_.size(); ++layer) {
    if (sums_[layer].empty()) continue;
    std::copy(sums_[layer].begin(), sums_[layer].end(), products_[layer].begin());
    products[layer] = products_[layer];
  }
  return products;
}

}  // namespace topiary
