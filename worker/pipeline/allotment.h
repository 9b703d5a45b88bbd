// From the budget of a job's target to how far each of its layers is pruned.
#ifndef TOPIARY_WORKER_PIPELINE_ALLOTMENT_H_
#define TOPIARY_WORKER_PIPELINE_ALLOTMENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/kernel_plan.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/prune/allocation.h"
#include "worker/prune/budget.h"
#include "worker/prune/group_choice.h"

namespace topiary {

// Whether the budget gives each layer a sparsity of its own before anything trains.
bool SettlesLayers(const PruningTargetSpec& target);

// The layers of `job` that are to be pruned, in their order.
std::vector<const LayerChoice*> LayersToPrune(const LoadedJob& job);

// The blocks of `choice`, or the candidates of its group, and the bounds of its layer targets; each
// costs 1.
BudgetedLayer BudgetedLayerOf(const LayerChoice& choice);
BudgetedLayer BudgetedLayerOf(const GroupChoice& choice);

// What KernelPlan::sparsities has for layers that keep so many blocks.
std::map<std::string, double> SparsitiesOf(const std::vector<const LayerChoice*>& layers,
                                           const std::vector<int64_t>& kept);

// Settles sparsities in `plan` by a budget of sparsity, parameters, bytes or operations, and checks
// that bounds of layers leave room for it. Nothing is measured: where layers share by sensitivity,
// `plan` has it already.
// FAILED_PRECONDITION, with figures and a remedy, where the budget cannot be met, or nothing would
// be pruned.
absl::Status AllotBudget(const JobSpec& spec, const LoadedJob& job, KernelPlan* plan);

// The same of the groups of `job`, by their names; a size takes narrower models to try
// (group_allotment.h), before each of which `check` is asked.
absl::Status AllotGroups(const JobSpec& spec, const LoadedJob& job,
                         const std::function<absl::Status()>& check, KernelPlan* plan);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_ALLOTMENT_H_
