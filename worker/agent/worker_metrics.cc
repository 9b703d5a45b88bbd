#include "worker/agent/worker_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cmath>

namespace topiary {
namespace {

prometheus::Family<prometheus::Counter>& Counters(prometheus::Registry* registry, const char* name,
                                                  const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

prometheus::Family<prometheus::Gauge>& Gauges(prometheus::Registry* registry, const char* name,
                                              const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
}

}  // namespace

absl::string_view OutcomeName(const v1::Outcome& outcome) {
  switch (outcome.outcome_case()) {
    case v1::Outcome::kSucceeded:
      return "succeeded";
    case v1::Outcome::kHandedBack:
      return "handed_back";
    case v1::Outcome::kStopped:
      return "stopped";
    case v1::Outcome::kFailed:
    case v1::Outcome::OUTCOME_NOT_SET:
      break;
  }
  return "failed";
}

WorkerMetrics::WorkerMetrics(prometheus::Registry* registry) {
  auto& slots = Gauges(registry, "topiary_slots", "Slots of this worker.");
  slots_busy_ = &slots.Add({{"state", "busy"}});
  slots_free_ = &slots.Add({{"state", "free"}});
  cache_bytes_ =
      &Gauges(registry, "topiary_worker_cache_bytes", "Bytes of artifacts kept on disk.").Add({});
  auto& synchronize = Counters(registry, "topiary_worker_synchronize_total",
                               "Reports to the coordinator, by whether it answered.");
  synchronize_answered_ = &synchronize.Add({{"result", "answered"}});
  synchronize_failed_ = &synchronize.Add({{"result", "failed"}});
  steps_ = &Counters(registry, "topiary_training_steps_total", "Training steps done.").Add({});
  samples_ = &Counters(registry, "topiary_training_samples_total", "Examples trained on.").Add({});
  loss_ = &Gauges(registry, "topiary_training_loss", "Mean training loss last reported.").Add({});
  sparsity_ = &Gauges(registry, "topiary_sparsity_ratio",
                      "Part of the prunable weights that is zero, as last reported.")
                   .Add({});
  auto& checkpoints =
      Counters(registry, "topiary_worker_checkpoints_total", "Checkpoints, by how it went.");
  checkpoints_uploaded_ = &checkpoints.Add({{"result", "uploaded"}});
  checkpoints_failed_ = &checkpoints.Add({{"result", "failed"}});
  auto& attempts = Counters(registry, "topiary_worker_attempts_total", "Attempts, by outcome.");
  for (const char* outcome : {"succeeded", "failed", "handed_back", "stopped"}) {
    attempts_[outcome] = &attempts.Add({{"outcome", outcome}});
  }
}

void WorkerMetrics::SetSlots(int busy, int free) {
  slots_busy_->Set(busy);
  slots_free_->Set(free);
}

void WorkerMetrics::SetCacheBytes(int64_t bytes) { cache_bytes_->Set(static_cast<double>(bytes)); }

void WorkerMetrics::OnSynchronize(const absl::Status& status) {
  (status.ok() ? synchronize_answered_ : synchronize_failed_)->Increment();
}

void WorkerMetrics::OnTraining(int64_t steps, int64_t samples, const JobProgress& progress) {
  if (steps > 0) {
    steps_->Increment(static_cast<double>(steps));
    samples_->Increment(static_cast<double>(samples));
  }
  if (progress.loss.has_value()) loss_->Set(*progress.loss);
  if (progress.sparsity.has_value()) sparsity_->Set(*progress.sparsity);
}

void WorkerMetrics::OnCheckpoint(bool uploaded) {
  (uploaded ? checkpoints_uploaded_ : checkpoints_failed_)->Increment();
}

void WorkerMetrics::OnOutcome(const v1::Outcome& outcome) {
  attempts_.find(OutcomeName(outcome))->second->Increment();
}

}  // namespace topiary
