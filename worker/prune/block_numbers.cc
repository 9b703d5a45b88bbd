#include "worker/prune/block_numbers.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

std::string NameOf(absl::string_view prefix, const MethodLayer& layer) {
  return absl::StrCat(prefix, "/", layer.weight);
}

}  // namespace

MethodState BlockNumbersState(absl::string_view prefix, absl::Span<const MethodLayer> layers,
                              absl::Span<const std::vector<float>> numbers) {
  MethodState state;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Shape shape({static_cast<int64_t>(numbers[i].size())});
    state.emplace(NameOf(prefix, layers[i]), Tensor::FromVector(shape, numbers[i]));
  }
  return state;
}

absl::StatusOr<std::vector<std::vector<float>>> FindBlockNumbers(
    const MethodState& state, absl::string_view prefix, absl::Span<const MethodLayer> layers) {
  std::vector<std::vector<float>> numbers;
  for (const MethodLayer& layer : layers) {
    ASSIGN_OR_RETURN(const Tensor* found,
                     FindState(state, NameOf(prefix, layer), DType::kFloat32, layer.block_count()));
    const absl::Span<const float> values = found->span<float>();
    numbers.emplace_back(values.begin(), values.end());
  }
  return numbers;
}

}  // namespace topiary
