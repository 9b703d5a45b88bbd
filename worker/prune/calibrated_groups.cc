#include "worker/prune/calibrated_groups.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr absl::string_view kRemedy = ": prune it by another method";

// Whether inputs [i * rows / count, (i + 1) * rows / count) of the matrix, with all outputs, are
// candidate i of `count`.
bool AreRowsInOrder(const GroupMatrix& matrix, int64_t count) {
  const PrunableLayer& layer = *matrix.layer;
  if (layer.groups != 1 || layer.rows % count != 0) return false;
  const std::vector<int32_t> candidates = CandidateOfEach(*matrix.part);
  const int64_t each = layer.rows / count;
  for (int64_t row = 0; row < layer.rows; ++row) {
    const int64_t offset = layer.Offset(0, row, 0);
    for (int64_t col = 0; col < layer.cols; ++col) {
      if (candidates[offset + col * layer.col_stride] != row / each) return false;
    }
  }
  return true;
}

bool HaveElementsInEach(const CandidateGroup& group, const std::vector<GroupMatrix>& matrices) {
  std::vector<bool> measured(group.count(), false);
  for (const GroupMatrix& matrix : matrices) {
    for (const BlockRun& run : matrix.part->runs) measured[run.block] = true;
  }
  return std::find(measured.begin(), measured.end(), false) == measured.end();
}

}  // namespace

std::vector<GroupMatrix> MatricesOf(const CandidateGroup& group,
                                    absl::Span<const PrunableLayer> layers) {
  std::vector<GroupMatrix> matrices;
  for (const CandidatePart& part : group.scaled()) {
    const auto layer = std::find_if(
        layers.begin(), layers.end(),
        [&](const PrunableLayer& candidate) { return candidate.weight == part.weight; });
    if (layer != layers.end()) matrices.push_back({&part, &*layer});
  }
  return matrices;
}

std::string ReasonNotToCalibrate(MomentKind kind, const CandidateGroup& group,
                                 absl::Span<const PrunableLayer> layers) {
  const std::vector<GroupMatrix> matrices = MatricesOf(group, layers);
  if (kind == MomentKind::kDiagonal) {
    if (HaveElementsInEach(group, matrices)) return "";
    return absl::StrCat(
        "not all of it is read by, or ends with, a matrix whose inputs could be "
        "measured",
        kRemedy);
  }
  if (group.scaled().size() != 1) {
    return absl::StrCat(group.scaled().size(), " weights read the candidates, and the method ",
                        "prunes by what one reads", kRemedy);
  }
  if (!matrices.empty() && AreRowsInOrder(matrices[0], group.count())) return "";
  return absl::StrCat("'", group.scaled()[0].weight,
                      "' does not read each candidate as so many inputs in a row, and nothing else",
                      kRemedy);
}

absl::StatusOr<std::shared_ptr<const BlockPartition>> ReaderBlocks(
    const CandidateGroup& group, absl::Span<const PrunableLayer> layers) {
  const PrunableLayer& layer = *MatricesOf(group, layers).at(0).layer;
  ASSIGN_OR_RETURN(BlockPartition partition,
                   BlockPartition::Create(layer, {layer.rows / group.count(), layer.cols}));
  return std::make_shared<const BlockPartition>(std::move(partition));
}

}  // namespace topiary
