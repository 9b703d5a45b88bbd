#include "worker/pipeline/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/data/dataset.h"
#include "worker/engine/parameter_store.h"
#include "worker/pipeline/allotment.h"
#include "worker/pipeline/evaluator.h"
#include "worker/pipeline/task.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

// The metric that is the mean of the loss.
MetricSpec MetricOf(LossSpec loss) {
  return loss == LossSpec::kMeanSquaredError ? MetricSpec::kMeanSquaredError : MetricSpec::kLogLoss;
}

// Fewer than there are: a copy.
Dataset Draw(const Dataset& data, int64_t examples, uint64_t seed) {
  const std::vector<uint32_t> order =
      Permutation(seed, kStreamSensitivity, 0, static_cast<uint32_t>(data.size()));
  std::vector<int64_t> rows(order.begin(), order.begin() + examples);
  std::sort(rows.begin(), rows.end());
  return SelectRows(data, rows);
}

class Measurement {
 public:
  Measurement(std::unique_ptr<ParameterStore> store, std::unique_ptr<Evaluator> evaluator,
              MetricSpec metric, const std::function<absl::Status()>& check)
      : store_(std::move(store)),
        evaluator_(std::move(evaluator)),
        metric_(MetricName(metric)),
        check_(check) {}

  absl::StatusOr<double> Loss() {
    ASSIGN_OR_RETURN(const MetricValues values, evaluator_->Evaluate(check_));
    return values.at(metric_);
  }

  // With `dense` the loss of the model as it is.
  absl::StatusOr<SensitivityCurve> Curve(const BlockPartition& partition,
                                         const std::vector<double>& sparsities, double dense) {
    const Parameter& parameter = *store_->Find(partition.layer().weight);
    const absl::Span<float> weight(parameter.value, static_cast<size_t>(parameter.size));
    const std::vector<float> given(weight.begin(), weight.end());
    const std::vector<float> norms = BlockNorms(partition, given);
    SensitivityCurve curve;
    for (const int64_t kept : MeasuredBlockCounts(sparsities, partition.block_count())) {
      double loss = dense;
      if (kept < partition.block_count()) {
        partition.ZeroPruned(SelectTopBlocks(norms, {}, kept), weight);
        store_->MarkChanged();
        ASSIGN_OR_RETURN(loss, Loss());
        std::copy(given.begin(), given.end(), weight.begin());
        store_->MarkChanged();
      }
      curve.push_back({kept, loss});
    }
    return curve;
  }

 private:
  const std::unique_ptr<ParameterStore> store_;
  const std::unique_ptr<Evaluator> evaluator_;
  const std::string metric_;
  const std::function<absl::Status()>& check_;
};

}  // namespace

absl::StatusOr<SensitivityPlan> MeasureSensitivity(const JobSpec& spec, const LoadedJob& job,
                                                   Backend* backend,
                                                   const std::function<absl::Status()>& check) {
  const SensitivitySpec& sensitivity = spec.target->sensitivity;
  std::optional<Dataset> drawn;
  if (sensitivity.examples < job.data.train.size()) {
    drawn = Draw(job.data.train, sensitivity.examples, spec.task.seed);
  }
  const Dataset& examples = drawn.has_value() ? *drawn : job.data.train;
  TaskSpec task = spec.task;
  const MetricSpec metric = MetricOf(task.loss);
  task.metrics = {metric};
  ASSIGN_OR_RETURN(auto store,
                   ParameterStore::Create(job.graph, backend, StorePurpose::kInference));
  ASSIGN_OR_RETURN(auto evaluator,
                   Evaluator::Create(job.graph, store.get(), backend, examples, task));
  Measurement measurement(std::move(store), std::move(evaluator), metric, check);
  SensitivityPlan plan;
  plan.examples = examples.size();
  ASSIGN_OR_RETURN(plan.loss, measurement.Loss());
  if (!std::isfinite(plan.loss)) {
    return absl::FailedPreconditionError(
        absl::StrCat("spec.target.budget: the loss of the model as given is ", plan.loss,
                     " on training examples: sensitivity cannot be measured; give a model that is "
                     "trained, or use another budget"));
  }
  for (const LayerChoice* choice : LayersToPrune(job)) {
    ASSIGN_OR_RETURN(plan.curves[choice->layer.weight],
                     measurement.Curve(*choice->partition, sensitivity.sparsities, plan.loss));
  }
  return plan;
}

}  // namespace topiary
