#include "worker/prune/calibration.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <type_traits>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
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
  try {
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
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is not enough memory to prune layer '", layer.layer().weight,
                     "': lower spec.threads, or take a worker with more memory "
                     "(spec.placement.memory_bytes)"));
  }
}

int64_t CalibrationBytes(const MethodOptions& method, absl::Span<const MeasuredLayer> layers,
                         int threads) {
  if (CalibrationOptionsOf(method) == nullptr) return 0;
  const bool full = MomentsFor(method) == MomentKind::kFull;
  const bool by_column = std::holds_alternative<GroupObsOptions>(method);
  double most = 0;  // Of layers of a million inputs, int64_t would not hold it.
  for (const auto& [layer, block] : layers) {
    const auto rows = static_cast<double>(layer.rows);
    const auto groups = static_cast<double>(layer.groups);
    const auto cols = static_cast<double>(layer.cols);
    const double weights = rows * cols;
    const double numbers = rows * (full ? rows : 1);
    // Sums of all groups; of one the mean, what is made of it, and a product in float32; and the
    // weights in double, with what is taken off them.
    double bytes = (8 * groups + 3 * 8 + 4) * numbers + 2 * 8 * weights;
    // Samples that wait to be multiplied.
    if (full) bytes += (groups + 2) * 4 * rows * static_cast<double>(SamplesAtOnce(layer.rows));
    if (by_column) {
      // The models and weights of all groups; and, on each thread that has a column of blocks, what
      // is left of an inverse, what the removal of a block takes off it, and the column's weights.
      bytes += 8 * groups * (numbers + weights);
      const double height = std::min(static_cast<double>(block.rows), rows);
      const double width = std::min(static_cast<double>(block.cols), cols);
      const double columns = groups * std::ceil(cols / width);
      bytes += 8 * std::min(static_cast<double>(threads), columns) *
               (numbers + 2 * rows * height + height * height + (rows + height) * width);
    }
    most = std::max(most, bytes);
  }
  constexpr double kMostBytes = 1e18;  // So that sums with others stay in range.
  return static_cast<int64_t>(std::min(most, kMostBytes));
}

}  // namespace topiary
