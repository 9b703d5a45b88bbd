#include "worker/prune/calibrated_groups.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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

// Empty: candidates are blocks of one matrix.
std::string WhyNoBlocks(const CandidateGroup& group, const std::vector<GroupMatrix>& matrices) {
  if (group.scaled().size() != 1) {
    return absl::StrCat(group.scaled().size(), " weights read the candidates, and the method ",
                        "prunes by what one reads", kRemedy);
  }
  if (matrices.empty() || !AreRowsInOrder(matrices[0], group.count())) {
    return absl::StrCat("'", group.scaled()[0].weight,
                        "' does not read each candidate as so many inputs in a row, and nothing "
                        "else",
                        kRemedy);
  }
  return "";
}

// Empty: every candidate has elements in one.
std::string WhyUnmeasured(const CandidateGroup& group, const std::vector<GroupMatrix>& matrices) {
  std::vector<bool> measured(group.count(), false);
  for (const GroupMatrix& matrix : matrices) {
    for (const BlockRun& run : matrix.part->runs) measured[run.block] = true;
  }
  if (std::find(measured.begin(), measured.end(), false) == measured.end()) return "";
  return absl::StrCat("there are candidates that no Gemm, MatMul or Conv has scores of", kRemedy);
}

absl::Status CheckMemory(double needed, std::optional<int64_t> memory_bytes) {
  if (!memory_bytes.has_value() || needed <= static_cast<double>(*memory_bytes)) {
    return absl::OkStatus();
  }
  constexpr double kMebibyte = 1 << 20;
  return absl::ResourceExhaustedError(absl::StrFormat(
      "target.structure: to say which weights read a candidate takes about %.0f MiB, more than the "
      "%.0f MiB that the model leaves of what the job may use: prune fewer layers, or take a "
      "worker "
      "with more memory (spec.placement.memory_bytes)",
      needed / kMebibyte, static_cast<double>(*memory_bytes) / kMebibyte));
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

absl::Status LeaveWhatIsNotCalibrated(MomentKind kind, absl::Span<const PrunableLayer> layers,
                                      Structure structure, std::optional<int64_t> memory_bytes,
                                      std::vector<GroupChoice>* choices) {
  double needed = 0;
  for (GroupChoice& choice : *choices) {
    if (!choice.dense_reason.empty()) continue;
    const std::vector<GroupMatrix> matrices = MatricesOf(*choice.group, layers);
    choice.dense_reason = kind == MomentKind::kFull ? WhyNoBlocks(*choice.group, matrices)
                                                    : WhyUnmeasured(*choice.group, matrices);
    if (kind != MomentKind::kFull || !choice.dense_reason.empty()) continue;
    const PrunableLayer& layer = *matrices[0].layer;
    const BlockShape block = {layer.rows / choice.group->count(), layer.cols};
    needed += static_cast<double>(BlockPartition::BytesToCreate(layer, block));
    RETURN_IF_ERROR(CheckMemory(needed, memory_bytes));
    ASSIGN_OR_RETURN(BlockPartition partition, BlockPartition::Create(layer, block));
    choice.reader = std::make_shared<const BlockPartition>(std::move(partition));
  }
  return CheckAnyPruned(*choices, structure);
}

}  // namespace topiary
