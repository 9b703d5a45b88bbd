#ifndef TOPIARY_SERVER_COORDINATOR_H_
#define TOPIARY_SERVER_COORDINATOR_H_

#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/periodic.h"
#include "server/api/admin_service.h"
#include "server/api/artifact_service.h"
#include "server/api/compression_service.h"
#include "server/api/executor.h"
#include "server/api/stream_registry.h"
#include "server/api/worker_service.h"
#include "server/artifacts/artifact_repository.h"
#include "server/config.h"
#include "server/jobs/metadata_store.h"
#include "server/logging_observer.h"
#include "server/metrics/server_metrics.h"
#include "server/scheduling/job_events.h"
#include "server/scheduling/scheduler.h"
#include "server/scheduling/sweep_finisher.h"

namespace topiary {

// All the objects behind a coordinator's services, put together; knows no network. Thread-safe.
class Coordinator {
 public:
  // `clock` and `registry` must outlive it; the stores become its own.
  Coordinator(const ServerConfig& config, std::unique_ptr<MetadataStore> metadata,
              std::unique_ptr<ArtifactStore> blobs, Clock* clock, prometheus::Registry* registry);
  ~Coordinator() { StopBackground(); }
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  CompressionService* compression_service() { return &compression_service_; }
  ArtifactService* artifact_service() { return &artifact_service_; }
  WorkerService* worker_service() { return &worker_service_; }
  AdminService* admin_service() { return &admin_service_; }

  // Begins what runs without being called: leases and deadlines, the ends of sweeps, garbage
  // collection, gauges.
  void StartBackground();

  // Answers the workers that wait and gives those that run a report interval to hear that the
  // coordinator is going, but none beyond `deadline`; ends all streams; admits no new ones. Blocks.
  void Drain(absl::Time deadline);

  // Waits until no stream is open and no call is worked on, but not beyond `deadline`.
  void WaitUntilIdle(absl::Time deadline);

  // Once no call is left. May be called again.
  void StopBackground();

 private:
  void Tick();
  void FinishSweeps();
  void CollectGarbage();
  void RefreshMetrics();
  // Counts and logs a failure of a background task.
  void Note(const char* task, const absl::Status& status);

  const ServerConfig config_;
  const std::unique_ptr<MetadataStore> metadata_;
  const std::unique_ptr<ArtifactStore> blobs_;
  ServerMetrics metrics_;
  LoggingObserver observer_{&metrics_};
  Executor control_;   // calls that work on the store
  Executor transfer_;  // calls that move artifacts
  StreamRegistry streams_;
  JobEvents events_;
  Scheduler scheduler_;
  ArtifactRepository artifacts_;
  SweepFinisher sweeps_;
  CompressionService compression_service_;
  ArtifactService artifact_service_;
  WorkerService worker_service_;
  AdminService admin_service_;
  std::unique_ptr<Periodic> tick_;
  std::unique_ptr<Periodic> finish_sweeps_;
  std::unique_ptr<Periodic> garbage_;
  std::unique_ptr<Periodic> gauges_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_COORDINATOR_H_
