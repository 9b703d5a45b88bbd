#ifndef TOPIARY_WORKER_PIPELINE_DETERMINISM_H_
#define TOPIARY_WORKER_PIPELINE_DETERMINISM_H_

#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/kernel_plan.h"

namespace topiary {

// What decides the bits of a job's result besides spec, data and seed, for a job that trains (or
// evaluates) `program` on `backend`. The plan digest covers the steps of the program in order,
// Topiary's own version, the backend's name, precision and versions, and what was measured before
// the first step.
DeterminismKey KeyOf(const BackendInfo& backend, const Program& program,
                     const KernelPlan& measured);

bool SameKey(const DeterminismKey& a, const DeterminismKey& b);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_DETERMINISM_H_
