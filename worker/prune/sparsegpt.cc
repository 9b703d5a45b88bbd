#include "worker/prune/sparsegpt.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "worker/prune/calibrated_method.h"
#include "worker/prune/cholesky.h"

namespace topiary {
namespace {

constexpr int64_t kOutputsAtOnce = 64;

// Prunes one matrix of a layer.
class MatrixPruner {
 public:
  MatrixPruner(const CalibratedLayer& layer, int64_t group, const QuadraticModel& model,
               std::vector<double> upper, Support* support)
      : layer_(layer),
        group_(group),
        inputs_(layer.layer().rows),
        outputs_(layer.layer().cols),
        block_(layer.partition->block()),
        upper_(std::move(upper)),
        weights_(ReadOutputs(layer.layer(), group, layer.weight)),
        support_(support) {
    ZeroDeadInputs(model, &weights_);
  }

  // Of the blocks of inputs [begin, end), whole rows of blocks, `keep` are kept.
  void Choose(int64_t begin, int64_t end, int64_t keep) {
    const int64_t across = layer_.partition->block_cols();
    std::vector<double> sums(RowsOfBlocks(end - begin) * across, 0);
    for (int64_t output = 0; output < outputs_; ++output) {
      for (int64_t j = begin; j < end; ++j) {
        const double over_pivot = weights_[output * inputs_ + j] / upper_[j * inputs_ + j];
        sums[(j - begin) / block_.rows * across + output / block_.cols] += over_pivot * over_pivot;
      }
    }
    const std::vector<float> scores(sums.begin(), sums.end());
    const Support kept = SelectTopBlocks(scores, {}, keep);
    std::copy(kept.begin(), kept.end(), support_->begin() + FirstBlock(begin));
  }

  // Prunes inputs [begin, end), as chosen; with N:M, chooses as it gets there.
  void PruneChunk(int64_t begin, int64_t end) {
    errors_.assign(outputs_ * (end - begin), 0);
    const int64_t parts = (outputs_ + kOutputsAtOnce - 1) / kOutputsAtOnce;
    ForEachInParallel(layer_.backend, parts, [&](int64_t part) {
      const int64_t first = part * kOutputsAtOnce;
      const int64_t last = std::min(outputs_, first + kOutputsAtOnce);
      for (int64_t output = first; output < last; ++output) PropagateWithin(output, begin, end);
      AddProduct(last - first, inputs_ - end, end - begin, -1,
                 {&errors_[first * (end - begin)], end - begin},
                 {upper_.data() + begin * inputs_ + end, inputs_},
                 {weights_.data() + first * inputs_ + end, inputs_});
    });
  }

  void Finish() { WriteOutputs(layer_.layer(), group_, weights_, layer_.weight); }

 private:
  int64_t RowsOfBlocks(int64_t inputs) const { return (inputs + block_.rows - 1) / block_.rows; }

  // N of the run of M that begins with input `begin`.
  void ChooseInRun(int64_t output, int64_t begin) {
    const int64_t size = std::min(layer_.n_of_m->m, inputs_ - begin);
    std::vector<float> scores(size);
    for (int64_t i = 0; i < size; ++i) {
      const int64_t j = begin + i;
      const double over_pivot = weights_[output * inputs_ + j] / upper_[j * inputs_ + j];
      scores[i] = static_cast<float>(over_pivot * over_pivot);
    }
    const Support kept = SelectTopBlocks(scores, {}, layer_.n_of_m->n);
    for (int64_t i = 0; i < size; ++i) (*support_)[FirstBlock(begin + i) + output] = kept[i];
  }

  // The number of the first block of the row of blocks in which input `input` lies.
  int64_t FirstBlock(int64_t input) const {
    return (group_ * layer_.partition->block_rows() + input / block_.rows) *
           layer_.partition->block_cols();
  }

  // One output through the inputs of a chunk, the updates of those after it left out.
  void PropagateWithin(int64_t output, int64_t begin, int64_t end) {
    double* const w = weights_.data() + output * inputs_;
    double* const errors = errors_.data() + output * (end - begin);
    for (int64_t j = begin; j < end; ++j) {
      if (layer_.n_of_m.has_value() && j % layer_.n_of_m->m == 0) ChooseInRun(output, j);
      if ((*support_)[FirstBlock(j) + output / block_.cols] != 0) continue;
      const double* const u = upper_.data() + j * inputs_;
      const double error = w[j] / u[j];
      for (int64_t k = j + 1; k < end; ++k) w[k] -= error * u[k];
      w[j] = 0;
      errors[j - begin] = error;
    }
  }

  const CalibratedLayer& layer_;
  const int64_t group_;
  const int64_t inputs_;
  const int64_t outputs_;
  const BlockShape block_;
  const std::vector<double> upper_;
  std::vector<double> weights_;  // [outputs][inputs].
  std::vector<double> errors_;   // [outputs][inputs of the chunk].
  Support* const support_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewSparseGpt(const SparseGptOptions&,
                                                     const PruningTarget& target,
                                                     std::vector<MethodLayer> layers,
                                                     int64_t total_steps) {
  return NewCalibratedMethod("sparsegpt", target, std::move(layers), total_steps);
}

absl::StatusOr<Support> PruneCalibrated(const SparseGptOptions& options,
                                        const CalibratedLayer& layer) {
  const BlockPartition& partition = *layer.partition;
  const int64_t inputs = layer.layer().rows;
  // No run or block is cut.
  const int64_t unit = layer.n_of_m.has_value() ? layer.n_of_m->m : partition.block().rows;
  const int64_t step = std::max<int64_t>(1, options.chunk_inputs / unit) * unit;
  Support support(partition.block_count(), 0);
  int64_t seen = 0;  // Blocks.
  for (int64_t group = 0; group < layer.layer().groups; ++group) {
    const QuadraticModel model = ModelOf(layer, group, options.dampening);
    ASSIGN_OR_RETURN(std::vector<double> upper, UpperFactorOfInverse(layer, model));
    MatrixPruner pruner(layer, group, model, std::move(upper), &support);
    if (layer.is_group) pruner.Choose(0, inputs, layer.kept_blocks());
    for (int64_t begin = 0; begin < inputs; begin += step) {
      RETURN_IF_ERROR(layer.check());
      const int64_t end = std::min(inputs, begin + step);
      const int64_t rows = (end - begin + partition.block().rows - 1) / partition.block().rows;
      const int64_t blocks = rows * partition.block_cols();
      const int64_t keep = (seen + blocks) * layer.kept_blocks() / partition.block_count() -
                           seen * layer.kept_blocks() / partition.block_count();
      if (!layer.is_group && !layer.n_of_m.has_value()) pruner.Choose(begin, end, keep);
      pruner.PruneChunk(begin, end);
      seen += blocks;
    }
    pruner.Finish();
  }
  partition.ZeroPruned(support, layer.weight);
  return support;
}

}  // namespace topiary
