#ifndef TOPIARY_WORKER_AGENT_ATTEMPT_H_
#define TOPIARY_WORKER_AGENT_ATTEMPT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cancellation.h"
#include "common/mutex.h"
#include "topiary/v1/workers.pb.h"
#include "worker/agent/artifact_cache.h"
#include "worker/agent/coordinator.h"
#include "worker/agent/worker_metrics.h"
#include "worker/pipeline/job_runner.h"

namespace topiary {

// What attempts share. All of it outlives them and is thread-safe.
struct AttemptEnvironment {
  Coordinator* coordinator = nullptr;
  ArtifactCache* cache = nullptr;
  JobRunner* runner = nullptr;
  WorkerMetrics* metrics = nullptr;
  std::string work_folder;  // Each attempt makes, and removes, a folder of its own in it.
  std::string worker_id;
  int threads = 1;  // Of an attempt whose spec does not say.
  int64_t memory_bytes = 0;
  std::function<void()> on_finished;  // The outcome is known: report soon. Called on any thread.
};

// One leased attempt at work, on a thread of its own: fetch, run, upload, outcome. Thread-safe.
//
// Nothing it does ends the process: whatever fails, also for lack of memory, is its outcome. While
// the coordinator cannot be reached, training goes on, and the upload of results is tried again and
// again.
class Attempt {
 public:
  // Begins at once.
  Attempt(v1::Lease lease, AttemptEnvironment environment);

  // Stops, if it has not ended, and waits for the thread.
  ~Attempt();

  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  const v1::Lease& lease() const { return lease_; }

  // What Synchronize is to be told now.
  v1::AttemptReport Report() const;

  bool finished() const;

  // As soon as the step ends; uploads nothing more. Outcome `stopped`.
  void Stop();

  // As soon as the step ends and a checkpoint is uploaded. Outcome `handed_back`; an attempt that
  // is about to upload its results finishes instead.
  void HandBack();

 private:
  class Observer;

  void Run();
  // What the runner came to, its files uploaded.
  struct Finished {
    v1::JobResult result;
    std::string bound_missed;
  };
  absl::StatusOr<Finished> Work();
  absl::StatusOr<JobAttempt> Prepare(std::vector<ArtifactCache::Pin>* pins);
  absl::StatusOr<ArtifactCache::Pin> Fetch(const std::string& digest);
  absl::StatusOr<std::string> LayOutModel(std::vector<ArtifactCache::Pin>* pins);
  absl::StatusOr<v1::JobResult> UploadResults(const JobOutcome& outcome);
  std::string WithoutLocalPaths(absl::string_view message);
  v1::Outcome OutcomeOf(const absl::StatusOr<Finished>& result);
  void SetPhase(v1::AttemptReport::Phase phase);
  void Finish(v1::Outcome outcome);

  const v1::Lease lease_;
  const AttemptEnvironment environment_;
  const std::string project_;  // "projects/p".
  const std::string folder_;
  Cancellation cancellation_;  // Of transfers.
  mutable Mutex mutex_;
  v1::AttemptReport report_ ABSL_GUARDED_BY(mutex_);
  JobControl control_ ABSL_GUARDED_BY(mutex_) = JobControl::kContinue;
  std::thread thread_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_ATTEMPT_H_
