#include "worker/prune/inner_product_sums.h"

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

InnerProductSums::InnerProductSums(absl::Span<const MethodLayer> layers) : layers_(layers) {
  for (const MethodLayer& layer : layers) sums_.emplace_back(layer.partition->block_count(), 0.0F);
}

void InnerProductSums::Add(absl::Span<const absl::Span<const float>> inner_products) {
  CHECK_EQ(inner_products.size(), sums_.size());
  for (size_t i = 0; i < sums_.size(); ++i) {
    for (size_t block = 0; block < sums_[i].size(); ++block) {
      sums_[i][block] += inner_products[i][block];
    }
  }
}

void InnerProductSums::SaveTo(MethodState* state) const {
  for (size_t i = 0; i < sums_.size(); ++i) {
    const Shape shape({static_cast<int64_t>(sums_[i].size())});
    state->emplace(NameOf(layers_[i]), Tensor::FromVector(shape, sums_[i]));
  }
}

absl::Status InnerProductSums::LoadFrom(const MethodState& state) {
  std::vector<std::vector<float>> loaded;
  for (size_t i = 0; i < sums_.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* sums, FindState(state, NameOf(layers_[i]), DType::kFloat32,
                                                   static_cast<int64_t>(sums_[i].size())));
    const absl::Span<const float> values = sums->span<float>();
    loaded.emplace_back(values.begin(), values.end());
  }
  sums_ = std::move(loaded);
  return absl::OkStatus();
}

}  // namespace topiary
