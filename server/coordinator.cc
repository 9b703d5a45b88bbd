#include "server/coordinator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "server/api/sweep_report.h"
#include "server/random_id.h"

namespace topiary {
namespace {

constexpr absl::Duration kTickInterval = absl::Milliseconds(100);
constexpr absl::Duration kSweepInterval = absl::Milliseconds(500);
constexpr absl::Duration kGarbageInterval = absl::Minutes(5);
constexpr absl::Duration kGaugeInterval = absl::Seconds(5);
// Calls that wait for a thread; more are refused.
constexpr int kMaxWaitingCalls = 2000;
constexpr int kMaxWorkersCounted = 100000;

// 60 bits make a collision in a project unlikely, and the store refuses one; 130 cannot be guessed.
std::string NewJobId() { return absl::StrCat("j", RandomId(12)); }
std::string NewSecret() { return RandomId(26); }

SchedulerOptions SchedulerOptionsOf(const ServerConfig& config) {
  SchedulerOptions options;
  options.lease_duration = config.lease_duration;
  options.report_interval = config.report_interval;
  options.same_key_wait = config.same_key_wait;
  return options;
}

ArtifactLimits ArtifactLimitsOf(const ServerConfig& config) {
  ArtifactLimits limits;
  limits.max_artifact_bytes = config.max_artifact_bytes;
  limits.max_open_uploads = config.max_open_uploads;
  return limits;
}

}  // namespace

Coordinator::Coordinator(const ServerConfig& config, std::unique_ptr<MetadataStore> metadata,
                         std::unique_ptr<ArtifactStore> blobs, Clock* clock,
                         prometheus::Registry* registry)
    : config_(config),
      metadata_(std::move(metadata)),
      blobs_(std::move(blobs)),
      metrics_(registry),
      control_("control", config.threads, kMaxWaitingCalls),
      transfer_("transfer", config.threads, kMaxWaitingCalls),
      streams_(config.max_streams),
      events_(metadata_.get()),
      scheduler_(
          SchedulerOptionsOf(config), metadata_.get(),
          [this](std::function<void()> closure) { return control_.Post(std::move(closure)); },
          NewSecret, &observer_),
      artifacts_(ArtifactLimitsOf(config), metadata_.get(), blobs_.get(), clock, NewSecret),
      sweeps_(metadata_.get(), &artifacts_, MakeSweepReport),
      compression_service_({metadata_.get(), &events_, &control_, &streams_, &metrics_, NewJobId},
                           config.max_live_jobs),
      artifact_service_(&artifacts_, &transfer_, &streams_, &metrics_),
      worker_service_(&scheduler_, metadata_.get(), &control_),
      admin_service_(&scheduler_, &control_) {
  metadata_->SetListener([this](const JobChange& change) {
    events_.OnJobChange(change);
    scheduler_.OnJobChange(change);
    metrics_.OnJobChange(change);
  });
}

void Coordinator::StartBackground() {
  tick_ = std::make_unique<Periodic>("tick", kTickInterval, [this] { Tick(); });
  finish_sweeps_ = std::make_unique<Periodic>("sweeps", kSweepInterval, [this] { FinishSweeps(); });
  garbage_ = std::make_unique<Periodic>("garbage", kGarbageInterval, [this] { CollectGarbage(); });
  gauges_ = std::make_unique<Periodic>("gauges", kGaugeInterval, [this] { RefreshMetrics(); });
}

void Coordinator::Drain(absl::Time deadline) {
  metrics_.SetDraining();
  scheduler_.StartDraining();
  const std::vector<WorkerInfo> workers = scheduler_.ListWorkers("", kMaxWorkersCounted);
  const bool any_runs = std::any_of(workers.begin(), workers.end(), [](const WorkerInfo& worker) {
    return worker.state != WorkerInfo::State::kSilent && !worker.jobs.empty();
  });
  if (any_runs) absl::SleepFor(std::min(config_.report_interval * 1.2, deadline - absl::Now()));
  streams_.StopAll();
}

void Coordinator::WaitUntilIdle(absl::Time deadline) {
  while (absl::Now() < deadline && (streams_.size() > 0 || !control_.idle() || !transfer_.idle())) {
    absl::SleepFor(absl::Milliseconds(5));
  }
}

void Coordinator::StopBackground() {
  for (Periodic* task : {tick_.get(), finish_sweeps_.get(), garbage_.get(), gauges_.get()}) {
    if (task != nullptr) task->Stop();
  }
  transfer_.Stop();
  control_.Stop();
}

void Coordinator::Tick() { Note("tick", scheduler_.Tick()); }

void Coordinator::FinishSweeps() { Note("finish_sweeps", sweeps_.FinishEnded()); }

void Coordinator::CollectGarbage() {
  const absl::StatusOr<GarbageCollected> collected = artifacts_.CollectGarbage();
  Note("collect_garbage", collected.status());
  if (!collected.ok()) return;
  metrics_.AddGarbageBytes(collected->bytes);
  if (collected->blobs + collected->uploads + collected->checkpoints == 0) return;
  LogInfo("garbage collected", {{"uploads", collected->uploads},
                                {"checkpoints", collected->checkpoints},
                                {"blobs", collected->blobs},
                                {"bytes", collected->bytes}});
}

void Coordinator::RefreshMetrics() {
  const auto jobs = metadata_->CountByState();
  Note("refresh_metrics", jobs.status());
  if (jobs.ok()) metrics_.SetJobs(*jobs);
  const auto bytes = metadata_->TotalBytes();
  Note("refresh_metrics", bytes.status());
  if (bytes.ok()) metrics_.SetStoreBytes(*bytes);
  metrics_.SetWorkers(scheduler_.ListWorkers("", kMaxWorkersCounted));
  metrics_.SetWatchers(events_.size());
  metrics_.SetExecutorWaiting("control", control_.waiting());
  metrics_.SetExecutorWaiting("transfer", transfer_.waiting());
}

void Coordinator::Note(const char* task, const absl::Status& status) {
  if (status.ok()) return;
  metrics_.CountBackgroundError(task);
  LogWarning("background task failed; it runs again",
             {{"task", task}, {"error", status.ToString()}});
}

}  // namespace topiary
