// Numbers that a method keeps of each block, in its state.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_NUMBERS_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_NUMBERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/prune/method.h"

namespace topiary {

// "<prefix>/<weight>" of each layer, float32, one number per block.
MethodState BlockNumbersState(absl::string_view prefix, absl::Span<const MethodLayer> layers,
                              absl::Span<const std::vector<float>> numbers);

// What it was made of, for layers like these. Errors as FindState().
absl::StatusOr<std::vector<std::vector<float>>> FindBlockNumbers(
    const MethodState& state, absl::string_view prefix, absl::Span<const MethodLayer> layers);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_NUMBERS_H_
