// From the budget of a job's target to how many candidates each of its groups keeps.
#ifndef TOPIARY_WORKER_PIPELINE_GROUP_ALLOTMENT_H_
#define TOPIARY_WORKER_PIPELINE_GROUP_ALLOTMENT_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/prune/allocation.h"
#include "worker/prune/group_choice.h"

namespace topiary {

// The groups of `job` that are to be pruned, in their order.
std::vector<const GroupChoice*> GroupsToPrune(const LoadedJob& job);

// Training moves weights that begin at 0, as the last normalization of a residual branch may: a
// model that is shrunk before it was trained is taken as if none of `graph`, at `batch`, were.
absl::Status MoveFromZero(int64_t batch, Graph* graph);

// The most candidates of each of GroupsToPrune(job), the same part of each to the nearest one and
// within the bounds of `groups`, with which the narrower model, whichever of them are kept, has no
// more than `budget`. Each try makes a narrower model. FAILED_PRECONDITION, with figures and a
// remedy, where that cannot be, or nothing would be pruned; errors of `check`, which is asked
// before each try, and those of Shrink() and SizeOfOnnx().
absl::StatusOr<std::vector<int64_t>> CandidatesWithin(const SizeBudgetSpec& budget,
                                                      const LoadedJob& job,
                                                      absl::Span<const BudgetedLayer> groups,
                                                      const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_GROUP_ALLOTMENT_H_
