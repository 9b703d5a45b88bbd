#include "worker/pipeline/planning.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/engine/inference_program.h"
#include "worker/model/batch_norm_folding.h"
#include "worker/pipeline/allotment.h"
#include "worker/pipeline/group_allotment.h"
#include "worker/pipeline/latency.h"
#include "worker/pipeline/sensitivity.h"
#include "worker/prune/latency_budget.h"
#include "worker/prune/n_of_m.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

constexpr int kMostTries = 9;
constexpr int kTriesAtTheLeast = 3;  // Before it is believed that no less will do.
// A model that is faster than it must be has been pruned more than it must be.
constexpr double kCloseEnough = 0.95;

// Of the layers to prune, by weight.
std::map<std::string, BlockShape> BlocksToPrune(const LoadedJob& job) {
  std::map<std::string, BlockShape> blocks;
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition != nullptr) blocks[choice.layer.weight] = choice.partition->block();
  }
  return blocks;
}

Support DrawSupport(int64_t blocks, double sparsity) {
  const std::vector<uint32_t> order =
      Permutation(0, kStreamLayerCosts, 0, static_cast<uint32_t>(blocks));
  Support support(blocks, 0);
  for (int64_t i = 0; i < KeptBlocks(sparsity, blocks); ++i) support[order[i]] = 1;
  return support;
}

std::vector<PrunedWeight> DrawRuns(const LoadedJob& job, const NOfM& n_of_m) {
  std::vector<PrunedWeight> drawn;
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition == nullptr) continue;
    Random random(0, kStreamLayerCosts, 0);
    std::vector<float> scores(choice.partition->block_count());
    for (float& score : scores) score = static_cast<float>(random.Uniform());
    drawn.push_back({choice.partition, SelectNOfM(*choice.partition, n_of_m, scores, {},
                                                  KeptElements(*choice.partition, n_of_m))});
  }
  return drawn;
}

std::vector<PrunedWeight> Draw(const LoadedJob& job,
                               const std::map<std::string, double>& sparsities) {
  std::vector<PrunedWeight> drawn;
  for (const LayerChoice& choice : job.choices) {
    const auto sparsity = sparsities.find(choice.layer.weight);
    if (choice.partition == nullptr || sparsity == sparsities.end()) continue;
    if (sparsity->second <= 0) continue;  // It stays dense.
    drawn.push_back(
        {choice.partition, DrawSupport(choice.partition->block_count(), sparsity->second)});
  }
  return drawn;
}

// Allots the time of a latency budget.
class LatencyAllotment {
 public:
  LatencyAllotment(const LatencyBudgetSpec& budget, const LoadedJob& job, LayerCostSource* costs,
                   Backend* backend, const CostCheck& check)
      : budget_(budget), job_(job), costs_(costs), backend_(backend), check_(check) {}

  absl::StatusOr<std::map<std::string, double>> Find() {
    ASSIGN_OR_RETURN(const LatencyReport dense, Measure({}));
    whole_seconds_ = dense.dense.p50;
    RETURN_IF_ERROR(MeasureLayers());
    // The layers' costs foretell where to begin; what is measured of the whole model decides. More
    // time for the layers is a higher ratio: what is asked for lies between two such times.
    const std::unique_ptr<Allocation> allocation = NewLatencyAllocation(timed_);
    const double least_seconds = AllotmentAt(*allocation, budgeted_, 0).cost;
    double low = least_seconds, high = dense_seconds_;
    int refused = 0;
    double seconds = budget_.ratio * whole_seconds_ - (whole_seconds_ - dense_seconds_);
    double least_ratio = 1;
    std::map<std::string, double> best;
    for (int i = 0; i < kMostTries && low <= high; ++i) {
      seconds = std::clamp(seconds, low, high);
      ASSIGN_OR_RETURN(const Allotment allotment, Allot(*allocation, budgeted_, seconds));
      std::map<std::string, double> sparsities = SparsitiesOf(layers_, allotment.kept);
      ASSIGN_OR_RETURN(const LatencyReport report, Measure(KeptBlocksOf(Draw(job_, sparsities))));
      const double ratio =
          report.block_sparse.has_value() ? report.block_sparse->p50 / report.dense.p50 : 1;
      least_ratio = std::min(least_ratio, ratio);
      if (ratio <= budget_.ratio) {
        best = std::move(sparsities);
        low = seconds;
        if (ratio >= kCloseEnough * budget_.ratio) break;
      } else if (seconds <= least_seconds) {
        if (++refused == kTriesAtTheLeast) break;
        continue;
      } else {
        high = seconds;
      }
      // A little less, because the one measured is not the one that training ends with. Where that
      // leads out of what is left, the middle of it.
      const double next =
          seconds + ((1 + kCloseEnough) / 2 * budget_.ratio - ratio) * whole_seconds_;
      const bool last = i + 1 + kTriesAtTheLeast >= kMostTries && best.empty();
      seconds = last ? low : next > low && next < high ? next : (low + high) / 2;
    }
    if (!best.empty()) return best;
    return absl::FailedPreconditionError(absl::StrFormat(
        "spec.target.latency: the model, which takes %.3g ms dense at batch %d on this machine, "
        "cannot be pruned to take %.3g of that: the least that was measured is %.3g; allow a "
        "higher ratio, use larger blocks, or lower target.min_blocks so that more layers are "
        "pruned",
        1e3 * whole_seconds_, budget_.batch, budget_.ratio, least_ratio));
  }

 private:
  absl::Status MeasureLayers() {
    InferenceOptions options;
    options.batch = budget_.batch;
    // As it will be measured, and served.
    const Graph served = FoldBatchNormalization(job_.graph.Clone());
    ASSIGN_OR_RETURN(const auto costs, InferenceCosts(served, BlocksToPrune(job_), options, costs_,
                                                      backend_, check_));
    double seconds = 0;
    for (const auto& [weight, cost] : costs) seconds += cost.dense_seconds;
    // Layers alone may seem to take longer than the whole model: then they are all there is to it.
    const double scale = seconds > whole_seconds_ ? whole_seconds_ / seconds : 1;
    dense_seconds_ = scale * seconds;
    for (const LayerChoice* choice : LayersToPrune(job_)) {
      const auto found = costs.find(choice->layer.weight);
      if (found == costs.end()) continue;
      LayerCost cost = found->second;
      cost.dense_seconds *= scale;
      for (LayerCost::Point& point : cost.sparse) point.seconds *= scale;
      const TimedLayer timed = {std::move(cost), choice->block_count};
      layers_.push_back(choice);
      budgeted_.push_back(BudgetedLayerOf(*choice));
      budgeted_.back().cost = [timed](int64_t kept) { return SecondsWith(timed, kept); };
      timed_.push_back(timed);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LatencyReport> Measure(const SparseWeights& kept) {
    return MeasureLatency(job_.graph, kept, costs_, backend_, job_.data.evaluation, budget_.batch,
                          check_);
  }

  const LatencyBudgetSpec& budget_;
  const LoadedJob& job_;
  LayerCostSource* const costs_;
  Backend* const backend_;
  const CostCheck& check_;
  // Of the same layers, in the same order.
  std::vector<const LayerChoice*> layers_;
  std::vector<BudgetedLayer> budgeted_;
  std::vector<TimedLayer> timed_;
  double whole_seconds_ = 0;  // Of a dense pass,
  double dense_seconds_ = 0;  // and of the layers in it.
};

}  // namespace

absl::StatusOr<KernelPlan> PlanKernels(const JobSpec& spec, const LoadedJob& job,
                                       LayerCostSource* costs, Backend* backend,
                                       const CostCheck& check) {
  KernelPlan plan;
  if (!job.groups.empty()) {
    RETURN_IF_ERROR(AllotGroups(spec, job, check, &plan));
    return plan;
  }
  if (spec.target->latency.has_value()) {
    RETURN_IF_ERROR(CheckLatencyMemory(spec, job.graph, job.data.bytes(),
                                       spec.target->latency->batch, /*programs=*/2));
    ASSIGN_OR_RETURN(plan.sparsities,
                     LatencyAllotment(*spec.target->latency, job, costs, backend, check).Find());
  } else {
    if (spec.target->budget == BudgetKind::kSensitivity) {
      ASSIGN_OR_RETURN(plan.sensitivity, MeasureSensitivity(spec, job, backend, check));
    }
    RETURN_IF_ERROR(AllotBudget(spec, job, &plan));
  }
  ASSIGN_OR_RETURN(const auto work,
                   WorkOfLayers(job.graph, job.batch, LayerUse::kTraining, BlocksToPrune(job)));
  ASSIGN_OR_RETURN(const auto training, CostsOf(work, costs, backend, check));
  plan.break_evens = BreakEvensOf(training);
  return plan;
}

void ObeyPlan(const KernelPlan& plan, LoadedJob* job) {
  job->global_sparsity = plan.global_sparsity;
  if (plan.sparsities.empty()) return;
  for (LayerChoice& choice : job->choices) {
    if (choice.partition == nullptr) continue;
    const auto found = plan.sparsities.find(choice.layer.weight);
    if (found != plan.sparsities.end() && found->second > 0) {
      choice.sparsity = found->second;
      continue;
    }
    choice.partition = nullptr;
    choice.dense_reason = "the budget leaves it dense";
  }
  for (GroupChoice& choice : job->groups) {
    if (!choice.dense_reason.empty()) continue;
    const auto found = plan.sparsities.find(choice.name);
    if (found != plan.sparsities.end() && found->second > 0) {
      choice.sparsity = found->second;
    } else {
      choice.dense_reason = "the budget leaves it whole";
    }
  }
  job->all_elements = AllElementsOf(job->graph, job->groups);
}

std::vector<PrunedWeight> ExpectedSupports(const JobSpec& spec, const LoadedJob& job) {
  if (!spec.target.has_value()) return {};
  if (spec.target->n_of_m.has_value()) return DrawRuns(job, *spec.target->n_of_m);
  std::map<std::string, double> sparsities;
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition == nullptr) continue;
    const double competing = std::clamp(job.global_sparsity.value_or(spec.target->sparsity),
                                        choice.min_sparsity, choice.max_sparsity);
    sparsities[choice.layer.weight] = choice.sparsity.value_or(competing);
  }
  return Draw(job, sparsities);
}

std::vector<PrunedGroup> ExpectedGroups(const JobSpec& spec, const LoadedJob& job) {
  std::vector<PrunedGroup> drawn;
  for (const GroupChoice* choice : GroupsToPrune(job)) {
    const double competing =
        std::clamp(spec.target->sparsity, choice->min_sparsity, choice->max_sparsity);
    drawn.push_back(
        {choice->group, DrawSupport(choice->group->count(), choice->sparsity.value_or(competing))});
  }
  return drawn;
}

SparseWeights KeptBlocksOf(const std::vector<PrunedWeight>& pruned) {
  SparseWeights weights;
  for (const PrunedWeight& weight : pruned) {
    weights[weight.partition->layer().weight] = PatternOf(*weight.partition, weight.support);
  }
  return weights;
}

}  // namespace topiary
