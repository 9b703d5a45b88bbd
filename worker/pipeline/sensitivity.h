// Measuring how much each layer of a job minds being pruned.
#ifndef TOPIARY_WORKER_PIPELINE_SENSITIVITY_H_
#define TOPIARY_WORKER_PIPELINE_SENSITIVITY_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/kernel_plan.h"
#include "worker/pipeline/loaded_job.h"

namespace topiary {

// The mean loss of the model as given, in inference mode, on examples that are drawn by the seed
// from those that are trained on, when the blocks of one layer that are smallest by Frobenius norm
// are zero: for each layer to be pruned at each sparsity of the spec, at one block, and dense.
// FAILED_PRECONDITION where the loss of the model as it is, is not a finite number; errors of
// `check`, which is asked between batches; others as Evaluator::Create().
absl::StatusOr<SensitivityPlan> MeasureSensitivity(const JobSpec& spec, const LoadedJob& job,
                                                   Backend* backend,
                                                   const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_SENSITIVITY_H_
