// Sums of the inner products that methods get after a step.
#ifndef TOPIARY_WORKER_PRUNE_INNER_PRODUCT_SUMS_H_
#define TOPIARY_WORKER_PRUNE_INNER_PRODUCT_SUMS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/prune/method.h"

namespace topiary {

// sum over steps of <d loss / d effective, value> for each block, in float32 in the order of the
// steps: the derivative of the loss by a scale on the block, summed. Not thread-safe.
class InnerProductSums {
 public:
  // Zeros. The method's layers, which outlive it.
  explicit InnerProductSums(absl::Span<const MethodLayer> layers);

  // As Method::EndStep() has them.
  void Add(absl::Span<const absl::Span<const float>> inner_products);

  // One per layer and block.
  const std::vector<std::vector<float>>& values() const { return sums_; }

  // "inner_products/<weight>", float32, one per block.
  void SaveTo(MethodState* state) const;
  // Errors as Method::Load().
  absl::Status LoadFrom(const MethodState& state);

 private:
  absl::Span<const MethodLayer> layers_;
  std::vector<std::vector<float>> sums_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_INNER_PRODUCT_SUMS_H_
