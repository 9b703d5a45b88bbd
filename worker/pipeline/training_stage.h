#ifndef TOPIARY_WORKER_PIPELINE_TRAINING_STAGE_H_
#define TOPIARY_WORKER_PIPELINE_TRAINING_STAGE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/pipeline/accuracy_bound.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/evaluator.h"
#include "worker/pipeline/job_reporter.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/task.h"
#include "worker/pipeline/training_loop.h"
#include "worker/prune/method.h"
#include "worker/prune/n_of_m.h"

namespace topiary {

// Elements of pruned blocks over `all_elements`: the sparsity of the moment.
double SparsityOf(const Method& method, int64_t all_elements);

// The fastest of the first steps of `loop`, which it takes: 5, or all. Errors as
// TrainingLoop::Step().
absl::StatusOr<absl::Duration> FastestStep(TrainingLoop* loop, Clock* clock);

// Runs one training from where it stands to its end: reports, measures now and then on the held-out
// examples (after whole epochs, at most 20 times), and writes a checkpoint at the end of each
// phase, whenever `checkpoint_interval` has passed, and when the job is handed back.
//
// Where it may be interrupted and resumed does not change a bit of weights or history.
// One thread at a time.
class TrainingStage {
 public:
  struct Options {
    std::string method;
    bool first_of_two = false;  // Checkpoint::first_of_two.
    // What progress calls this training; empty: the kind of each phase.
    std::string phase;
    // Of trainings of the same job before this one: the observer is told steps that only rise.
    int64_t steps_before = 0;
    std::string plan_digest;
    std::string work_folder;   // Checkpoints lie there for as long as the observer looks at them.
    int64_t all_elements = 0;  // Of Gemm, MatMul and Conv weights.
    absl::Duration checkpoint_interval = absl::Seconds(60);
    bool keep_last_checkpoint = false;  // Leaves LastCheckpointPath() behind.
    // Where there is one: measures the model as it would be exported, BatchNormalization estimated
    // anew over so many batches, and keeps the best that meets the bound in the record.
    std::optional<AccuracyBound> bound;
    int64_t batch_norm_batches = 0;
    // Models that have it only in part, as those on the way to it, are not kept.
    std::optional<NOfM> n_of_m;
    // Whenever the observer has stored a checkpoint.
    std::function<void()> on_stored = [] {};
  };

  // All of them outlive it.
  TrainingStage(const Options& options, TrainingLoop* loop, Evaluator* evaluator,
                JobReporter* reporter, JobObserver* observer, Clock* clock, JobRecord* record);

  // CANCELLED or ABORTED where the observer wants it; else as TrainingLoop::Step().
  absl::Status Run();

  // Besides the checkpoints of Run().
  absl::Status SaveCheckpoint();

  std::string LastCheckpointPath() const;

 private:
  absl::Status AfterStep(const TrainingLoop::StepResult& result);
  // Adds the held-out metrics of the step reached to the record, where they belong there and are
  // not there yet. ABORTED, with a checkpoint, where the observer wants the job back meanwhile.
  absl::Status MeasureIfDue();
  absl::Status Measure();
  // The metrics of this moment's model, which it keeps where the bound prefers it.
  absl::StatusOr<MetricValues> MeasureForBound();
  bool HoldsPattern() const;
  bool MeasuresAt(int64_t step) const;
  // Adds the time since the last call to `seconds`.
  void AccountTo(double* seconds);

  const Options options_;
  TrainingLoop* const loop_;
  Evaluator* const evaluator_;
  JobReporter* const reporter_;
  JobObserver* const observer_;
  Clock* const clock_;
  JobRecord* const record_;
  absl::Time last_checkpoint_;
  absl::Time accounted_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_TRAINING_STAGE_H_
