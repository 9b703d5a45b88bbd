#include "worker/prune/summing_method.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

std::string NameOf(const MethodLayer& layer) {
  return absl::StrCat("inner_products/", layer.weight);
}

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
  for (size_t i = 0; i < sums_.size(); ++i) {
    const Shape shape({static_cast<int64_t>(sums_[i].size())});
    state.emplace(NameOf(layers()[i]), Tensor::FromVector(shape, sums_[i]));
  }
  return state;
}

absl::Status SummingMethod::Load(const MethodState& state) {
  std::vector<std::vector<float>> loaded;
  for (size_t i = 0; i < sums_.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* sums, FindState(state, NameOf(layers()[i]), DType::kFloat32,
                                                   static_cast<int64_t>(sums_[i].size())));
    const absl::Span<const float> values = sums->span<float>();
    loaded.emplace_back(values.begin(), values.end());
  }
  RETURN_IF_ERROR(PhasedMethod::Load(state));
  sums_ = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace topiary
