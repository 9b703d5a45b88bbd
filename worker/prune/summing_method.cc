#include "worker/prune/summing_method.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/block_numbers.h"

namespace topiary {
namespace {

constexpr absl::string_view kSums = "inner_products";

}  // namespace

SummingMethod::SummingMethod(const PhasedOptions& options, PhasePlan plan,
                             std::vector<MethodLayer> layers)
    : PhasedMethod(options, std::move(plan), std::move(layers)) {
  for (const MethodLayer& layer : this->layers()) {
    sums_.emplace_back(layer.block_count(), 0.0F);
  }
}

void SummingMethod::EndStep(absl::Span<const absl::Span<const float>> inner_products) {
  CHECK_EQ(inner_products.size(), sums_.size());
  for (size_t i = 0; i < sums_.size(); ++i) {
    for (size_t block = 0; block < sums_[i].size(); ++block) {
      sums_[i][block] += inner_products[i][block];
    }
  }
}

MethodState SummingMethod::Save() const {
  MethodState state = PhasedMethod::Save();
  state.merge(BlockNumbersState(kSums, layers(), sums_));
  return state;
}

absl::Status SummingMethod::Load(const MethodState& state) {
  ASSIGN_OR_RETURN(std::vector<std::vector<float>> loaded,
                   FindBlockNumbers(state, kSums, layers()));
  RETURN_IF_ERROR(PhasedMethod::Load(state));
  sums_ = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace topiary
