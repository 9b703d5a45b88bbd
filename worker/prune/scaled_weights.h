// Between the candidates of a method and the blocks of weights that the engine scales.
#ifndef TOPIARY_WORKER_PRUNE_SCALED_WEIGHTS_H_
#define TOPIARY_WORKER_PRUNE_SCALED_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/kernels/op_description.h"
#include "worker/prune/method.h"

namespace topiary {

// A weight that a method scales. Where it is a layer of the method, cut in blocks, its blocks are
// those, single elements being numbered by their place in memory. Else they are what the candidates
// of one or more groups have of it, group by group, and one more of scale 1 for elements of no
// candidate.
struct ScaledWeight {
  std::string name;
  std::shared_ptr<const BlockRuns> runs;
};

// Immutable but for the memory of InnerProducts(): one thread at a time.
class ScaledWeights {
 public:
  // INVALID_ARGUMENT, naming the weight, where an element belongs to two candidates, or a weight
  // has more than 2^31 - 1 blocks.
  static absl::StatusOr<ScaledWeights> Create(absl::Span<const MethodLayer> layers);

  // In the order in which the layers name them.
  const std::vector<ScaledWeight>& weights() const { return weights_; }

  // The scale of each block of weight `index`, as `method`, over the same layers, has them now.
  void CopyScales(const Method& method, int index, absl::Span<float> block_scales) const;

  // Inner products by candidate for each layer, of those by block for each weight: sums over the
  // weights, in double in their order. Valid until the next call, and as long as `of_blocks`.
  std::vector<absl::Span<const float>> InnerProducts(
      absl::Span<const absl::Span<const float>> of_blocks);

 private:
  // Who has a block of a weight.
  struct Candidate {
    int32_t layer = -1;  // -1: nobody.
    int32_t index = 0;
  };
  void AddLayer(const MethodLayer& layer, int index);
  absl::Status AddParts(absl::Span<const MethodLayer> layers, const std::string& weight);

  std::vector<ScaledWeight> weights_;
  std::vector<std::vector<Candidate>> candidates_;  // By weight and block; empty: see `layers_`.
  std::vector<int> layers_;                         // By weight: the layer that it is, or -1.
  // By weight: the layer whose elements are numbered anew; null where blocks have their own
  // numbers.
  std::vector<std::shared_ptr<const BlockPartition>> reordered_;
  std::vector<std::vector<double>> sums_;  // By layer and candidate; empty: it is a weight.
  // By layer: the sums, rounded, or what came in another order; empty: as it came.
  std::vector<std::vector<float>> products_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SCALED_WEIGHTS_H_
