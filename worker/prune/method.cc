#include "worker/prune/method.h"

#include "absl/strings/str_cat.h"

namespace topiary {

absl::StatusOr<const Tensor*> FindState(const MethodState& state, const std::string& key,
                                        DType dtype, int64_t count) {
  const auto found = state.find(key);
  if (found != state.end() && found->second.dtype() == dtype &&
      found->second.element_count() == count) {
    return &found->second;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("state '", key, "' is missing or does not have ", count, " ", DTypeName(dtype),
                   " entries: the checkpoint belongs to another job"));
}

BlockCounts CountBlocks(const Method& method) {
  BlockCounts counts;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const Support& support = method.support(static_cast<int>(i));
    counts.live += LiveBlocks(support);
    counts.total += static_cast<int64_t>(support.size());
  }
  return counts;
}

void ZeroPruned(const MethodLayer& layer, int index, absl::Span<const uint8_t> kept,
                LayerTensors& tensors) {
  if (layer.group == nullptr) {
    layer.partition->ZeroPruned(kept, tensors.MutableRawWeights(index));
    return;
  }
  for (const CandidatePart& part : layer.group->scaled()) {
    ZeroPruned(part, kept, tensors.MutableRawWeight(part.weight));
  }
}

}  // namespace topiary
