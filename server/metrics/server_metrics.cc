#include "server/metrics/server_metrics.h"

#include <initializer_list>

#include "absl/strings/ascii.h"

namespace topiary {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

prometheus::Family<Counter>& CounterFamily(Registry* registry, const MetricText& text) {
  return prometheus::BuildCounter().Name(text.name).Help(text.help).Register(*registry);
}

prometheus::Family<Gauge>& GaugeFamily(Registry* registry, const MetricText& text) {
  return prometheus::BuildGauge().Name(text.name).Help(text.help).Register(*registry);
}

template <typename Metric>
std::map<std::string, Metric*, std::less<>> ByLabelValue(
    prometheus::Family<Metric>& family, const std::string& label,
    std::initializer_list<const char*> values) {
  std::map<std::string, Metric*, std::less<>> members;
  for (const char* value : values) members[value] = &family.Add({{label, value}});
  return members;
}

// From a second to a day.
Histogram& SecondsHistogram(Registry* registry, const MetricText& text) {
  return prometheus::BuildHistogram().Name(text.name).Help(text.help).Register(*registry).Add(
      {}, Histogram::BucketBoundaries{0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400});
}

template <typename Metric>
Metric* Find(const std::map<std::string, Metric*, std::less<>>& members, absl::string_view value) {
  const auto found = members.find(value);
  return found == members.end() ? nullptr : found->second;
}

void Count(const std::map<std::string, Counter*, std::less<>>& members, absl::string_view value) {
  if (Counter* counter = Find(members, value)) counter->Increment();
}

const char* StateLabel(WorkerInfo::State state) {
  switch (state) {
    case WorkerInfo::State::kIdle:
      return "idle";
    case WorkerInfo::State::kBusy:
      return "busy";
    case WorkerInfo::State::kDraining:
      return "draining";
    case WorkerInfo::State::kSilent:
      return "silent";
  }
  return "";
}

const char* OutcomeLabel(AttemptOutcome::Kind kind) {
  switch (kind) {
    case AttemptOutcome::Kind::kSucceeded:
      return "succeeded";
    case AttemptOutcome::Kind::kFailed:
      return "failed";
    case AttemptOutcome::Kind::kCancelled:
      return "cancelled";
    case AttemptOutcome::Kind::kHandedBack:
      return "handed_back";
  }
  return "";
}

}  // namespace

ServerMetrics::ServerMetrics(Registry* registry)
    : jobs_(ByLabelValue(GaugeFamily(registry, kJobsText), "state",
                         {"queued", "running", "succeeded", "failed", "cancelled"})),
      workers_(ByLabelValue(GaugeFamily(registry, kWorkersText), "state",
                            {"idle", "busy", "draining", "silent"})),
      worker_slots_(
          ByLabelValue(GaugeFamily(registry, kWorkerSlotsText), "state", {"free", "used"})),
      executor_waiting_(ByLabelValue(GaugeFamily(registry, kExecutorWaitingText), "executor",
                                     {"control", "transfer"})),
      jobs_submitted_(ByLabelValue(
          CounterFamily(registry, kJobsSubmittedText), "method",
          {"ac_dc", "benchmark", "dense", "evaluate", "feature_selection", "fisher_attention",
           "group_lasso", "group_obs", "iht", "magnitude", "movement", "power_propagation",
           "random", "rigl", "sequential_attention_pp", "snip", "sparsegpt", "sweep", "wanda"})),
      jobs_finished_(ByLabelValue(CounterFamily(registry, kJobsFinishedText), "outcome",
                                  {"succeeded", "failed", "cancelled"})),
      job_attempts_(ByLabelValue(CounterFamily(registry, kJobAttemptsText), "outcome",
                                 {"succeeded", "failed", "cancelled", "handed_back", "lost"})),
      lease_events_(ByLabelValue(CounterFamily(registry, kLeaseEventsText), "event",
                                 {"granted", "renewed", "lost", "refused"})),
      artifact_bytes_(ByLabelValue(CounterFamily(registry, kArtifactBytesText), "direction",
                                   {"uploaded", "downloaded"})),
      background_errors_(
          ByLabelValue(CounterFamily(registry, kBackgroundErrorsText), "task",
                       {"tick", "finish_sweeps", "collect_garbage", "refresh_metrics"})),
      watchers_(GaugeFamily(registry, kWatchersText).Add({})),
      store_bytes_(GaugeFamily(registry, kStoreBytesText).Add({})),
      draining_(GaugeFamily(registry, kDrainingText).Add({})),
      garbage_bytes_(CounterFamily(registry, kGarbageBytesText).Add({})),
      queue_wait_(SecondsHistogram(registry, kQueueWaitText)),
      run_(SecondsHistogram(registry, kRunText)) {}

void ServerMetrics::CountSubmitted(absl::string_view method) { Count(jobs_submitted_, method); }

void ServerMetrics::AddUploadedBytes(int64_t bytes) {
  artifact_bytes_.at("uploaded")->Increment(static_cast<double>(bytes));
}

void ServerMetrics::AddDownloadedBytes(int64_t bytes) {
  artifact_bytes_.at("downloaded")->Increment(static_cast<double>(bytes));
}

void ServerMetrics::AddGarbageBytes(int64_t bytes) {
  garbage_bytes_.Increment(static_cast<double>(bytes));
}

void ServerMetrics::CountBackgroundError(absl::string_view task) {
  Count(background_errors_, task);
}

void ServerMetrics::SetDraining() { draining_.Set(1); }

void ServerMetrics::OnJobChange(const JobChange& change) {
  // A job changes no more once it has ended, except that it is deleted.
  if (!change.deleted && IsTerminal(change.state)) {
    Count(jobs_finished_, absl::AsciiStrToLower(JobStateName(change.state)));
    if (change.run_time.has_value()) run_.Observe(absl::ToDoubleSeconds(*change.run_time));
  }
}

void ServerMetrics::SetJobs(const std::map<JobState, int64_t>& count_by_state) {
  for (const auto& [label, gauge] : jobs_) gauge->Set(0);
  for (const auto& [state, count] : count_by_state) {
    if (Gauge* gauge = Find(jobs_, absl::AsciiStrToLower(JobStateName(state)))) {
      gauge->Set(static_cast<double>(count));
    }
  }
}

void ServerMetrics::SetWorkers(const std::vector<WorkerInfo>& workers) {
  std::map<std::string, int> by_state;
  int used = 0;
  int slots = 0;
  for (const WorkerInfo& worker : workers) {
    ++by_state[StateLabel(worker.state)];
    if (worker.state != WorkerInfo::State::kIdle && worker.state != WorkerInfo::State::kBusy) {
      continue;
    }
    used += static_cast<int>(worker.jobs.size());
    slots += worker.capabilities.slots;
  }
  for (const auto& [label, gauge] : workers_) gauge->Set(by_state[label]);
  worker_slots_.at("used")->Set(used);
  worker_slots_.at("free")->Set(slots > used ? slots - used : 0);
}

void ServerMetrics::SetWatchers(int watchers) { watchers_.Set(watchers); }

void ServerMetrics::SetStoreBytes(int64_t bytes) { store_bytes_.Set(static_cast<double>(bytes)); }

void ServerMetrics::SetExecutorWaiting(absl::string_view executor, int waiting) {
  if (Gauge* gauge = Find(executor_waiting_, executor)) gauge->Set(waiting);
}

void ServerMetrics::OnLeaseGranted(const Lease& /*lease*/, absl::Duration queue_wait) {
  Count(lease_events_, "granted");
  queue_wait_.Observe(absl::ToDoubleSeconds(queue_wait));
}

void ServerMetrics::OnLeaseRenewed(const AttemptName& /*attempt*/) {
  Count(lease_events_, "renewed");
}

void ServerMetrics::OnLeaseRefused(const AttemptName& /*attempt*/, const std::string& /*worker*/) {
  Count(lease_events_, "refused");
}

void ServerMetrics::OnLeaseLost(const JobName& /*job*/, int /*attempt*/,
                                const std::string& /*worker*/) {
  Count(lease_events_, "lost");
  Count(job_attempts_, "lost");
}

void ServerMetrics::OnAttemptFinished(const Job& /*job*/, const AttemptName& /*attempt*/,
                                      const std::string& /*worker*/, AttemptOutcome::Kind kind) {
  Count(job_attempts_, OutcomeLabel(kind));
}

}  // namespace topiary
