// topiary-worker: reads its flags, makes its parts, runs the agent until it is told to stop.
#include <prometheus/registry.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/large_memory.h"
#include "common/logging.h"
#include "common/metrics_exposer.h"
#include "common/notification.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "worker/agent/agent.h"
#include "worker/agent/artifact_cache.h"
#include "worker/agent/coordinator.h"
#include "worker/agent/worker_metrics.h"
#include "worker/config.h"
#include "worker/engine/layer_cost.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/pipeline/pipeline_runner.h"

namespace topiary {
namespace {

absl::StatusOr<std::unique_ptr<Backend>> NewBackend(int threads, Precision precision) {
  CpuBackendOptions options;
  options.threads = threads;
  options.precision = precision;
  ASSIGN_OR_RETURN(std::unique_ptr<CpuBackend> backend, CpuBackend::Create(options));
  return backend;
}

v1::Capabilities CapabilitiesOf(const WorkerConfig& config, const BackendInfo& info) {
  v1::Capabilities capabilities;
  capabilities.set_slots(config.slots);
  capabilities.set_threads(config.threads);
  capabilities.set_memory_bytes(config.memory_bytes > 0 ? config.memory_bytes
                                                        : AvailableMemoryBytes() / config.slots);
  capabilities.set_isa(info.isa);
  for (const auto& [library, version] : info.versions) {
    if (library == "onednn") capabilities.set_onednn_version(version);
  }
  capabilities.set_version(kVersion);
  capabilities.add_devices(v1::Placement::CPU);
  return capabilities;
}

// Serves /metrics, and says where.
absl::StatusOr<std::unique_ptr<MetricsExposer>> ServeMetrics(
    const WorkerConfig& config, std::shared_ptr<prometheus::Registry> registry) {
  if (config.metrics_listen.empty()) return std::unique_ptr<MetricsExposer>();
  ASSIGN_OR_RETURN(std::unique_ptr<MetricsExposer> exposer,
                   MetricsExposer::Start(config.metrics_listen, std::move(registry)));
  const std::string host = config.metrics_listen.substr(0, config.metrics_listen.rfind(':'));
  const std::string address = absl::StrCat(host, ":", exposer->port());
  LogInfo("metrics served", {{"address", address}});
  if (!config.port_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(config.port_file, address + "\n"));
  }
  return exposer;
}

// The first signal drains, the second ends the process; so does the end of the drain's time, after
// which attempts are left to their leases. Returns once `ended`.
void ObeySignals(const sigset_t& signals, const WorkerConfig& config, const Notification& ended,
                 Agent* agent) {
  absl::Time abandon_at = absl::InfiniteFuture();
  const timespec tick = {0, 100'000'000};
  while (!ended.HasBeenNotified()) {
    if (sigtimedwait(&signals, nullptr, &tick) > 0) {
      if (abandon_at != absl::InfiniteFuture()) _exit(1);
      LogInfo("draining", {{"worker", config.worker_id}});
      abandon_at = absl::Now() + config.drain_timeout;
      agent->Drain();
    }
    if (absl::Now() >= abandon_at) agent->Abandon();
  }
}

absl::Status Serve(const WorkerConfig& config) {
  // Blocked before any thread begins, so that only ObeySignals() sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // oneDNN reads its limit once, from the environment.
  if (!config.isa.empty()) {
    setenv("ONEDNN_MAX_CPU_ISA", absl::AsciiStrToUpper(config.isa).c_str(), 1);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                   NewBackend(config.threads, Precision::kFloat32));
  const BackendInfo info = backend->info();
  auto registry = std::make_shared<prometheus::Registry>();
  std::map<std::string, std::string> labels(info.versions.begin(), info.versions.end());
  labels["isa"] = info.isa;
  AddBuildInfo(registry.get(), std::move(labels));
  WorkerMetrics metrics(registry.get());
  ASSIGN_OR_RETURN(const std::unique_ptr<ArtifactCache> cache,
                   ArtifactCache::Open(config.data_dir + "/cache", config.cache_bytes));
  // What a killed worker left; the cache's lock says that there is no other.
  std::error_code ignored;
  std::filesystem::remove_all(config.data_dir + "/attempts", ignored);
  ASSIGN_OR_RETURN(const std::unique_ptr<Coordinator> coordinator,
                   NewGrpcCoordinator(config.coordinator));
  ASSIGN_OR_RETURN(const auto exposer, ServeMetrics(config, registry));
  PipelineOptions pipeline;
  pipeline.checkpoint_interval = config.checkpoint_interval;
  const std::unique_ptr<LayerCostSource> costs = NewMeasuredLayerCosts(
      config.layer_costs_dir.empty() ? config.data_dir + "/layer-costs" : config.layer_costs_dir);
  PipelineRunner runner(NewBackend, costs.get(), SystemClock(), pipeline);

  AttemptEnvironment environment;
  environment.coordinator = coordinator.get();
  environment.cache = cache.get();
  environment.runner = &runner;
  environment.metrics = &metrics;
  environment.work_folder = config.data_dir + "/attempts";
  environment.worker_id = config.worker_id;
  environment.threads = config.threads;
  environment.memory_bytes = config.memory_bytes;
  AgentOptions options;
  options.worker_id = config.worker_id;
  options.capabilities = CapabilitiesOf(config, info);
  Agent agent(options, environment);
  LogInfo("worker started", {{"worker", config.worker_id},
                             {"coordinator", config.coordinator},
                             {"slots", config.slots},
                             {"threads", config.threads},
                             {"isa", info.isa}});
  Notification ended;
  std::thread conversation([&agent, &ended] {
    agent.Run();
    ended.Notify();
  });
  ObeySignals(signals, config, ended, &agent);
  conversation.join();
  LogInfo("worker stopped", {{"worker", config.worker_id}});
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  const absl::StatusOr<WorkerConfig> config = ParseWorkerConfig(argc, argv);
  if (!config.ok()) {
    std::fprintf(stderr, "topiary-worker: %s\n", std::string(config.status().message()).c_str());
    return 2;
  }
  ReturnLargeMemory();
  LogInit(config->log);
  const absl::Status status = Serve(*config);
  if (status.ok()) return 0;
  LogError("worker failed", {{"error", status.ToString()}});
  return 1;
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) { return topiary::Main(argc, argv); }
