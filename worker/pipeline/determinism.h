#ifndef TOPIARY_WORKER_PIPELINE_DETERMINISM_H_
#define TOPIARY_WORKER_PIPELINE_DETERMINISM_H_

#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_runner.h"
#include "worker/prune/block_skipping.h"

namespace topiary {

// What decides the bits of a job's result besides spec, data and seed, for a job that trains (or
// evaluates) `program` on `backend`. The plan digest covers the steps of the program in order,
// Topiary's own version, the backend's name and versions, and the densities at and below which
// training leaves pruned blocks out.
DeterminismKey KeyOf(const BackendInfo& backend, const Program& program,
                     const BreakEvenDensities& break_evens);

bool SameKey(const DeterminismKey& a, const DeterminismKey& b);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_DETERMINISM_H_
