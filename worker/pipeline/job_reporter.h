#ifndef TOPIARY_WORKER_PIPELINE_JOB_REPORTER_H_
#define TOPIARY_WORKER_PIPELINE_JOB_REPORTER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/task.h"

namespace topiary {

// A job's side of its observer: thins progress out, measures speed, and turns what the observer
// wants into a status. Time decides only when something is said, never what is computed.
// One thread at a time.
class JobReporter {
 public:
  // Both outlive it.
  JobReporter(JobObserver* observer, Clock* clock) : observer_(observer), clock_(clock) {}

  // CANCELLED or ABORTED where the observer wants the job to stop or to be handed back.
  absl::Status Check() const;
  // The same as a function, for those who ask between pieces of work.
  std::function<absl::Status()> checker() const {
    return [this] { return Check(); };
  }

  // Says now that the job is in `phase`.
  void EnterPhase(const std::string& phase);

  // Where training stands after a step.
  struct TrainingPoint {
    std::string phase;
    int64_t step = 0;  // Steps done.
    int64_t total_steps = 0;
    int64_t batches_per_epoch = 1;
    int64_t batch_size = 0;
    float loss = 0;
  };
  // Forgets what was measured of another training. `step` steps are done already.
  void BeginTraining(int64_t step);
  // Says where training stands if a quarter of a second has passed since it was said last, the
  // phase has changed, or it was the last step. `sparsity` is asked only then.
  void OnStep(const TrainingPoint& point, const std::function<double()>& sparsity);

  // To be told from now on.
  void set_metrics(const MetricValues& metrics) { progress_.metrics = metrics; }

 private:
  JobObserver* const observer_;
  Clock* const clock_;
  JobProgress progress_;
  absl::Time said_ = absl::InfinitePast();
  double loss_sum_ = 0;  // Since it was said last.
  int64_t loss_steps_ = 0;
  absl::Time training_began_;
  int64_t first_step_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_JOB_REPORTER_H_
