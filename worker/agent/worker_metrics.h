#ifndef TOPIARY_WORKER_AGENT_WORKER_METRICS_H_
#define TOPIARY_WORKER_AGENT_WORKER_METRICS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "topiary/v1/workers.pb.h"
#include "worker/pipeline/job_runner.h"

namespace prometheus {
class Counter;
class Gauge;
class Registry;
}  // namespace prometheus

namespace topiary {

// "succeeded", "failed", "handed_back" or "stopped".
absl::string_view OutcomeName(const v1::Outcome& outcome);

// Every metric of a worker. Names begin with topiary_; no label has a value per job. With several
// slots, the gauges of training show the attempt that reported last. Thread-safe.
class WorkerMetrics {
 public:
  explicit WorkerMetrics(prometheus::Registry* registry);

  void SetSlots(int busy, int free);
  void SetCacheBytes(int64_t bytes);
  void OnSynchronize(const absl::Status& status);
  // Steps and samples done since the call before for the same attempt.
  void OnTraining(int64_t steps, int64_t samples, const JobProgress& progress);
  void OnCheckpoint(bool uploaded);
  void OnOutcome(const v1::Outcome& outcome);

 private:
  prometheus::Gauge* slots_busy_;
  prometheus::Gauge* slots_free_;
  prometheus::Gauge* cache_bytes_;
  prometheus::Counter* synchronize_answered_;
  prometheus::Counter* synchronize_failed_;
  prometheus::Counter* steps_;
  prometheus::Counter* samples_;
  prometheus::Gauge* loss_;
  prometheus::Gauge* sparsity_;
  prometheus::Counter* checkpoints_uploaded_;
  prometheus::Counter* checkpoints_failed_;
  std::map<std::string, prometheus::Counter*, std::less<>> attempts_;  // By OutcomeName().
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_WORKER_METRICS_H_
