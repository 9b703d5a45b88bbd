#include "worker/pipeline/exported_state.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

std::string WeightKey(const std::string& name) { return absl::StrCat("weights/", name); }
std::string SupportKey(const std::string& layer) { return absl::StrCat("support/", layer); }

}  // namespace

MethodState SaveExported(const ParameterStore& store, const Method& method) {
  MethodState state;
  for (const Parameter& parameter : store.parameters()) {
    Tensor values(DType::kFloat32, Shape({parameter.size}));
    std::copy_n(parameter.effective, parameter.size, values.data<float>());
    state.emplace(WeightKey(parameter.name), std::move(values));
  }
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const Support& support = method.support(static_cast<int>(i));
    state.emplace(SupportKey(method.layers()[i].weight),
                  Tensor::FromVector(Shape({static_cast<int64_t>(support.size())}), support));
  }
  return state;
}

absl::Status LoadExported(const MethodState& state, const Method& method, ParameterStore* store) {
  for (const MethodLayer& layer : method.layers()) {
    RETURN_IF_ERROR(
        FindState(state, SupportKey(layer.weight), DType::kUint8, layer.block_count()).status());
  }
  std::vector<const Tensor*> tensors;
  for (const Parameter& parameter : store->parameters()) {
    ASSIGN_OR_RETURN(const Tensor* values,
                     FindState(state, WeightKey(parameter.name), DType::kFloat32, parameter.size));
    tensors.push_back(values);
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Parameter& parameter = store->parameters()[i];
    std::copy_n(tensors[i]->data<float>(), parameter.size, parameter.effective);
  }
  store->MarkChanged();
  return absl::OkStatus();
}

Support SupportIn(const MethodState& state, const std::string& layer) {
  const absl::Span<const uint8_t> live = state.at(SupportKey(layer)).span<uint8_t>();
  return Support(live.begin(), live.end());
}

std::vector<std::vector<float>> SaveStatistics(const ParameterStore& store) {
  std::vector<std::vector<float>> statistics;
  for (const Parameter& parameter : store.parameters()) {
    if (parameter.trainable) continue;
    statistics.emplace_back(parameter.value, parameter.value + parameter.size);
  }
  return statistics;
}

void LoadStatistics(const std::vector<std::vector<float>>& statistics, ParameterStore* store) {
  size_t next = 0;
  for (const Parameter& parameter : store->parameters()) {
    if (parameter.trainable) continue;
    std::copy(statistics[next].begin(), statistics[next].end(), parameter.value);
    ++next;
  }
  store->MarkChanged();
}

}  // namespace topiary
