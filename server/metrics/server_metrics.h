#ifndef TOPIARY_SERVER_METRICS_SERVER_METRICS_H_
#define TOPIARY_SERVER_METRICS_SERVER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/scheduler_observer.h"
#include "server/scheduling/worker.h"

namespace topiary {

// ---- Names, labels, help
// ------------------------------------------------------------------------- Besides these:
// grpc_server_* (call_metrics.h), process_* and topiary_build_info (common/metrics_exposer.h).

struct MetricText {
  const char* name;
  const char* help;
};

// Gauges. {state}: queued, running, succeeded, failed, cancelled.
inline constexpr MetricText kJobsText = {"topiary_jobs", "Jobs that are kept, by state."};
// {state}: idle, busy, draining, silent.
inline constexpr MetricText kWorkersText = {"topiary_workers",
                                            "Workers heard of within the last hour, by state."};
// {state}: free, used.
inline constexpr MetricText kWorkerSlotsText = {
    "topiary_worker_slots", "Slots of the workers that are idle or busy, by state."};
inline constexpr MetricText kWatchersText = {"topiary_watchers", "Open WatchJob streams."};
inline constexpr MetricText kStoreBytesText = {
    "topiary_artifact_store_bytes", "Bytes of all artifacts, each content counted once."};
// {executor}: control, transfer.
inline constexpr MetricText kExecutorWaitingText = {"topiary_executor_waiting_calls",
                                                    "Steps of calls that wait for a thread."};
inline constexpr MetricText kDrainingText = {
    "topiary_draining", "1 from the moment the coordinator was told to stop, else 0."};

// Counters. {method}: the names of the fields among which CompressionSpec.method chooses, and
// "sweep", whose children are counted beside it.
inline constexpr MetricText kJobsSubmittedText = {"topiary_jobs_submitted_total",
                                                  "Jobs created, by method."};
// {outcome}: succeeded, failed, cancelled.
inline constexpr MetricText kJobsFinishedText = {"topiary_jobs_finished_total",
                                                 "Jobs that reached a final state, by outcome."};
// {outcome}: succeeded, failed, cancelled, handed_back, lost.
inline constexpr MetricText kJobAttemptsText = {"topiary_job_attempts_total",
                                                "Attempts that ended, by outcome."};
// {event}: granted, renewed, lost, refused.
inline constexpr MetricText kLeaseEventsText = {
    "topiary_lease_events_total",
    "Leases granted to workers, renewed by reports, lost by silence, and reports refused because "
    "another attempt has begun."};
// {direction}: uploaded, downloaded.
inline constexpr MetricText kArtifactBytesText = {"topiary_artifact_bytes_total",
                                                  "Bytes of artifacts moved, by direction."};
inline constexpr MetricText kGarbageBytesText = {
    "topiary_artifact_garbage_bytes_total", "Bytes of artifacts deleted by garbage collection."};
// {task}: tick, finish_sweeps, collect_garbage, refresh_metrics.
inline constexpr MetricText kBackgroundErrorsText = {
    "topiary_background_errors_total", "Runs of background tasks that failed, by task."};

// Histograms.
inline constexpr MetricText kQueueWaitText = {
    "topiary_job_queue_wait_seconds", "Time from being queued to being leased to a worker."};
inline constexpr MetricText kRunText = {
    "topiary_job_run_seconds", "Time from a job's first attempt to its end, of jobs that ran."};

// ---- The metrics
// ----------------------------------------------------------------------------------

// Everything that the coordinator counts, except calls. Thread-safe; nothing blocks. All known
// label values are there from the start, at 0.
class ServerMetrics : public SchedulerObserver {
 public:
  explicit ServerMetrics(prometheus::Registry* registry);

  // `method` as in the label's list; anything else is not counted.
  void CountSubmitted(absl::string_view method);
  void AddUploadedBytes(int64_t bytes);
  void AddDownloadedBytes(int64_t bytes);
  void AddGarbageBytes(int64_t bytes);
  void CountBackgroundError(absl::string_view task);
  void SetDraining();

  // To be called for each change in the store (JobStore::SetListener).
  void OnJobChange(const JobChange& change);

  // What is looked up now and then.
  void SetJobs(const std::map<JobState, int64_t>& count_by_state);
  void SetWorkers(const std::vector<WorkerInfo>& workers);
  void SetWatchers(int watchers);
  void SetStoreBytes(int64_t bytes);
  void SetExecutorWaiting(absl::string_view executor, int waiting);

  // SchedulerObserver:
  void OnLeaseGranted(const Lease& lease, absl::Duration queue_wait) override;
  void OnLeaseRenewed(const AttemptName& attempt) override;
  void OnLeaseRefused(const AttemptName& attempt, const std::string& worker) override;
  void OnLeaseLost(const JobName& job, int attempt, const std::string& worker) override;
  void OnAttemptFinished(const Job& job, const AttemptName& attempt, const std::string& worker,
                         AttemptOutcome::Kind kind) override;

 private:
  // The members of a family by the value of its one label.
  template <typename Metric>
  using ByLabel = std::map<std::string, Metric*, std::less<>>;

  const ByLabel<prometheus::Gauge> jobs_;
  const ByLabel<prometheus::Gauge> workers_;
  const ByLabel<prometheus::Gauge> worker_slots_;
  const ByLabel<prometheus::Gauge> executor_waiting_;
  const ByLabel<prometheus::Counter> jobs_submitted_;
  const ByLabel<prometheus::Counter> jobs_finished_;
  const ByLabel<prometheus::Counter> job_attempts_;
  const ByLabel<prometheus::Counter> lease_events_;
  const ByLabel<prometheus::Counter> artifact_bytes_;
  const ByLabel<prometheus::Counter> background_errors_;
  prometheus::Gauge& watchers_;
  prometheus::Gauge& store_bytes_;
  prometheus::Gauge& draining_;
  prometheus::Counter& garbage_bytes_;
  prometheus::Histogram& queue_wait_;
  prometheus::Histogram& run_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_METRICS_SERVER_METRICS_H_
