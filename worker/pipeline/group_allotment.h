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
// model that is shrunk before it was trained is taken as if none of `graph` were.
absl::Status MoveFromZero(Graph* graph);

// How many candidates each of GroupsToPrune(job) keeps so that the narrower model has no more than
// the size of `spec.target`: the same part of each, within the bounds of `groups`, and with
// another candidate of a group that is due for one it would have more. Those are taken to go that
// save least alone, so that others save no less, unless candidates share what neither of them takes
// away alone. Each try makes a narrower model. FAILED_PRECONDITION, with figures and a remedy,
// where that cannot be, or nothing would be pruned; errors of `check`, which is asked before each
// try, and those of CheckShrinkMemory(), Shrink() and AmountOfOnnx().
absl::StatusOr<std::vector<int64_t>> CandidatesWithin(const JobSpec& spec, const LoadedJob& job,
                                                      absl::Span<const BudgetedLayer> groups,
                                                      const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_GROUP_ALLOTMENT_H_
