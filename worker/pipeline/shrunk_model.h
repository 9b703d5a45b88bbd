// The narrower dense network that a pruned one allows, as a result of a job.
#ifndef TOPIARY_WORKER_PIPELINE_SHRUNK_MODEL_H_
#define TOPIARY_WORKER_PIPELINE_SHRUNK_MODEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/export/report.h"
#include "worker/export/shrink.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"

namespace topiary {

// RESOURCE_EXHAUSTED, before the memory is taken, where finding the channels of `model` that go
// together needs more than `memory_bytes` (none: no limit). `shapes` as for InferShapes().
absl::Status CheckShrinkMemory(const Graph& model, const std::map<std::string, Shape>& shapes,
                               std::optional<int64_t> memory_bytes);

// Shrinks `model`; nullopt where nothing can be taken away. The result computes the same on the
// first `batch` examples of `data`, which is not empty, up to 1e-5 of the largest number of each
// output: FAILED_PRECONDITION, with how much it is off, where it does not. `check` is asked
// between passes; an error from it ends the work. Other errors as CheckShrinkMemory(), Shrink() and
// Program::Build().
absl::StatusOr<std::optional<ShrunkModel>> ShrinkAndCompare(
    const Graph& model, const Dataset& data, int64_t batch, std::optional<int64_t> memory_bytes,
    Backend* backend, const std::function<absl::Status()>& check);

// The same for `job`, whose pruned `model` counts more: of its errors, and of having too little
// memory, only CANCELLED and ABORTED are returned, others are added to `warnings`.
absl::StatusOr<std::optional<ShrunkModel>> TryToShrink(const JobSpec& spec, const LoadedJob& job,
                                                       const Graph& model, Backend* backend,
                                                       const std::function<absl::Status()>& check,
                                                       std::vector<std::string>* warnings);

// What was taken out of `model` to make `shrunk`; of its file nothing is said.
ShrunkReport DescribeShrunk(const Graph& model, const ShrunkModel& shrunk);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_SHRUNK_MODEL_H_
