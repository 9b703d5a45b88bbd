#include "worker/prune/calibration.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "absl/status/status.h"
#include "common/check.h"

namespace topiary {
namespace {

template <typename Options>
constexpr bool kCalibrates = std::is_base_of_v<CalibrationOptions, std::decay_t<Options>>;

}  // namespace

const CalibrationOptions* CalibrationOptionsOf(const MethodOptions& method) {
  return std::visit(
      [](const auto& options) -> const CalibrationOptions* {
        if constexpr (kCalibrates<decltype(options)>) {
          return &options;
        } else {
          return nullptr;
        }
      },
      method);
}

MomentKind MomentsFor(const MethodOptions& method) {
  return std::holds_alternative<WandaOptions>(method) ? MomentKind::kDiagonal : MomentKind::kFull;
}

absl::StatusOr<Support> PruneLayer(const MethodOptions& method, const CalibratedLayer& layer) {
  return std::visit(
      [&layer](const auto& options) -> absl::StatusOr<Support> {
        if constexpr (kCalibrates<decltype(options)>) {
          return PruneCalibrated(options, layer);
        } else {
          CHECK(false) << "the method prunes while it trains";
          return absl::InternalError("");
        }
      },
      method);
}

int64_t CalibrationBytes(const MethodOptions& method, absl::Span<const PrunableLayer> layers,
                         int threads) {
  if (CalibrationOptionsOf(method) == nullptr) return 0;
  const bool full = MomentsFor(method) == MomentKind::kFull;
  const bool by_column = std::holds_alternative<GroupObsOptions>(method);
  int64_t most = 0;
  for (const PrunableLayer& layer : layers) {
    const int64_t numbers = layer.rows * (full ? layer.rows : 1);
    // Sums of all groups; of one the mean, what is made of it, and a product in float32; and the
    // weights in double, with what is taken off them.
    int64_t bytes = (8 * layer.groups + 3 * 8 + 4) * numbers + 2 * 8 * layer.rows * layer.cols;
    // The models and weights of all groups, and what is left of an inverse on each thread.
    if (by_column) bytes += 8 * layer.groups * (numbers + layer.rows * layer.cols);
    if (by_column) bytes += 8 * threads * numbers;
    most = std::max(most, bytes);
  }
  return most;
}

}  // namespace topiary
