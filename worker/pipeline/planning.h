// What is decided about a job's layers before anything trains, from what they cost on this machine.
#ifndef TOPIARY_WORKER_PIPELINE_PLANNING_H_
#define TOPIARY_WORKER_PIPELINE_PLANNING_H_

#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/program.h"
#include "worker/export/block_sparse_file.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/kernel_plan.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/pipeline/pruned_groups.h"

namespace topiary {

// Measures what the layers to prune cost, and settles how far each is pruned where the budget says
// so (allotment.h), by sensitivity.h where layers share by that. A latency budget is allotted to
// them (prune/latency_budget.h) and tried out, with blocks drawn by chance left out of the whole
// model, until that takes the time asked for. FAILED_PRECONDITION, with figures and a remedy, where
// the budget cannot be met; of groups of candidates nothing is measured. RESOURCE_EXHAUSTED where
// its batch would pass the job's memory limit; errors of `check`; others as AllotGroups(),
// MeasureLatency() and CostsOf().
absl::StatusOr<KernelPlan> PlanKernels(const JobSpec& spec, const LoadedJob& job,
                                       LayerCostSource* costs, Backend* backend,
                                       const CostCheck& check);

// Gives the layers or groups of `job` the sparsities of the plan, where it has any.
void ObeyPlan(const KernelPlan& plan, LoadedJob* job);

// As many blocks of each layer as the job will keep, drawn by chance: how fast the pruned model
// will be can be measured before it is trained. With budget "global", where layers compete, each
// is taken to keep the same part.
std::vector<PrunedWeight> ExpectedSupports(const JobSpec& spec, const LoadedJob& job);

// The same of candidates.
std::vector<PrunedGroup> ExpectedGroups(const JobSpec& spec, const LoadedJob& job);

// The kept blocks of each, by weight.
SparseWeights KeptBlocksOf(const std::vector<PrunedWeight>& pruned);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_PLANNING_H_
