// What methods that score blocks by summed inner products have in common: the sums.
#ifndef TOPIARY_WORKER_PRUNE_SUMMING_METHOD_H_
#define TOPIARY_WORKER_PRUNE_SUMMING_METHOD_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/prune/method.h"
#include "worker/prune/phased_method.h"

namespace topiary {

// Adds up what EndStep() is given: sum over steps of <d loss / d effective, value> for each block,
// in float32 in the order of the steps, which is the derivative of the loss by a scale on the
// block, summed. A subclass says of which steps, and makes scores of the sums. Not thread-safe.
class SummingMethod : public PhasedMethod {
 public:
  SummingMethod(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers);

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) final;

  // Besides the support "inner_products/<weight>", float32, one per block.
  MethodState Save() const final;
  absl::Status Load(const MethodState& state) final;

 protected:
  // One per layer and block.
  const std::vector<std::vector<float>>& sums() const { return sums_; }

 private:
  std::vector<std::vector<float>> sums_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SUMMING_METHOD_H_
