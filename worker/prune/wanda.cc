#include "worker/prune/wanda.h"

#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/calibrated_method.h"

namespace topiary {
namespace {

std::vector<float> Scores(const CalibratedLayer& calibrated) {
  const BlockPartition& partition = *calibrated.partition;
  const PrunableLayer& layer = partition.layer();
  std::vector<double> sums(partition.block_count(), 0);
  for (int64_t group = 0; group < layer.groups; ++group) {
    const std::vector<double> squares = calibrated.moments(group);
    CHECK_EQ(static_cast<int64_t>(squares.size()), layer.rows);
    for (int64_t row = 0; row < layer.rows; ++row) {
      const int64_t offset = layer.Offset(group, row, 0);
      double* const of_row = &sums[(group * partition.block_rows() + row / partition.block().rows) *
                                   partition.block_cols()];
      for (int64_t col = 0; col < layer.cols; ++col) {
        const double value = calibrated.weight[offset + col * layer.col_stride];
        of_row[col / partition.block().cols] += value * value * squares[row];
      }
    }
  }
  return Roots(sums);
}

Support Choose(const WandaOptions& options, const CalibratedLayer& layer,
               const std::vector<float>& scores) {
  const int64_t keep = layer.kept_blocks();
  if (layer.n_of_m.has_value()) {
    return SelectNOfM(*layer.partition, *layer.n_of_m, scores, {}, keep);
  }
  return options.comparison == WandaOptions::Comparison::kOutput
             ? SelectWithinOutputs(*layer.partition, scores, keep)
             : SelectTopBlocks(scores, {}, keep);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewWanda(const WandaOptions&, const PruningTarget& target,
                                                 std::vector<MethodLayer> layers,
                                                 int64_t total_steps) {
  return NewCalibratedMethod("wanda", target, std::move(layers), total_steps);
}

absl::StatusOr<Support> PruneCalibrated(const WandaOptions& options, const CalibratedLayer& layer) {
  RETURN_IF_ERROR(layer.check());
  const std::vector<float> scores = Scores(layer);
  Support support = Choose(options, layer, scores);
  layer.partition->ZeroPruned(support, layer.weight);
  return support;
}

void AddSquaredScores(const GroupMatrix& matrix,
                      const std::function<std::vector<double>(int64_t group)>& moments,
                      absl::Span<const float> weight, absl::Span<double> squares) {
  const PrunableLayer& layer = *matrix.layer;
  const std::vector<int32_t> candidates = CandidateOfEach(*matrix.part);
  for (int64_t group = 0; group < layer.groups; ++group) {
    const std::vector<double> of_inputs = moments(group);
    CHECK_EQ(static_cast<int64_t>(of_inputs.size()), layer.rows);
    for (int64_t row = 0; row < layer.rows; ++row) {
      for (int64_t col = 0; col < layer.cols; ++col) {
        const int64_t at = layer.Offset(group, row, col);
        if (candidates[at] < 0) continue;
        const double value = weight[at];
        squares[candidates[at]] += value * value * of_inputs[row];
      }
    }
  }
}

}  // namespace topiary
