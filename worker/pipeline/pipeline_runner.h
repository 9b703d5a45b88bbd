#ifndef TOPIARY_WORKER_PIPELINE_PIPELINE_RUNNER_H_
#define TOPIARY_WORKER_PIPELINE_PIPELINE_RUNNER_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/engine/layer_cost.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_runner.h"

namespace topiary {

// Makes a backend of so many threads for one attempt, with products of `precision`.
using BackendFactory =
    std::function<absl::StatusOr<std::unique_ptr<Backend>>(int threads, Precision precision)>;

struct PipelineOptions {
  // Time between two checkpoints, besides those at phase ends.
  absl::Duration checkpoint_interval = absl::Seconds(60);
};

// Runs jobs for real: load model and data, measure the model as given, plan the kernels of pruned
// layers, train (a dense comparison
// first, if asked), prune, fold, settle BatchNorm, measure, export, report.
//
// Thread-safe: each Run() has a backend and memory of its own.
class PipelineRunner : public JobRunner {
 public:
  // `costs` and `clock` outlive it; `backends` is called from any thread.
  PipelineRunner(BackendFactory backends, LayerCostSource* costs, Clock* clock,
                 const PipelineOptions& options = {});

  // Besides the errors of JobRunner: RESOURCE_EXHAUSTED, with figures, where the job would pass its
  // memory limit.
  absl::StatusOr<JobOutcome> Run(const JobAttempt& attempt, JobObserver* observer) override;

 private:
  const BackendFactory backends_;
  LayerCostSource* const costs_;
  Clock* const clock_;
  const PipelineOptions options_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_PIPELINE_RUNNER_H_
