#include "worker/config.h"

#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/version.h"

namespace topiary {
namespace {

constexpr char kIsaNames[] =
    "sse41, avx, avx2, avx2_vnni, avx2_vnni_2, avx512_core, avx512_core_vnni, avx512_core_bf16, "
    "avx512_core_fp16, avx512_core_amx, avx512_core_amx_fp16";

template <typename T>
CLI::Option* AddFlag(CLI::App* app, const std::string& name, T* value, const std::string& help) {
  const std::string variable =
      "TOPIARY_WORKER_" + absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}));
  return app->add_option("--" + name, *value, help)->envname(variable)->capture_default_str();
}

// The host's name in the characters that the contract allows.
std::string HostName() {
  char host[65] = "worker";
  gethostname(host, sizeof(host) - 1);
  std::string name(host);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '.') c = '-';
  }
  if (name.empty() || !absl::ascii_isalnum(name[0])) name = "w" + name;
  return name;
}

// Unlike that of any process before: a worker started anew under the same name must not be taken
// for the one that still holds its leases.
std::string WorkerId(const std::string& name) {
  std::random_device random;
  return absl::StrCat(name, "-", absl::Hex(random(), absl::kZeroPad8));
}

absl::Status CheckIsa(const std::string& isa) {
  const std::vector<std::string> names = absl::StrSplit(kIsaNames, ", ");
  if (isa.empty() || std::find(names.begin(), names.end(), isa) != names.end()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("--isa: \"", isa, "\" is none of ", kIsaNames));
}

// Leaves room for the rest of the id.
bool IsWorkerName(const std::string& name) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 100 && absl::ascii_isalnum(name.front()) &&
         std::all_of(name.begin(), name.end(), allowed);
}

absl::StatusOr<absl::Duration> ParseDurationFlag(absl::string_view flag, const std::string& text) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration() &&
      duration <= absl::Hours(24)) {
    return duration;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": \"", text, "\" is no duration of 0s to 24h, such as 30s"));
}

absl::Status Check(const WorkerConfig& config) {
  if (config.coordinator.empty()) {
    return absl::InvalidArgumentError("--coordinator: give the coordinator's host:port");
  }
  if (!config.metrics_listen.empty() && config.metrics_listen.rfind(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics-listen: \"", config.metrics_listen, "\" is not host:port or none"));
  }
  if (config.data_dir.empty()) return absl::InvalidArgumentError("--data-dir: give a folder");
  if (config.slots < 1 || config.slots > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slots: ", config.slots, " is not in 1 to 64"));
  }
  if (config.threads < 0 || config.threads > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads: ", config.threads, " is not in 0 (choose) to 1024"));
  }
  if (config.cache_bytes < 0) return absl::InvalidArgumentError("--cache-bytes: is below 0");
  if (config.memory_bytes < 0) return absl::InvalidArgumentError("--memory-bytes: is below 0");
  if (!IsWorkerName(config.worker_name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--worker-name: \"", config.worker_name,
                     "\" must be 1 to 100 characters of A-Z a-z 0-9 . _ -, the first of them a "
                     "letter or digit"));
  }
  return CheckIsa(config.isa);
}

}  // namespace

absl::StatusOr<WorkerConfig> ParseWorkerConfig(int argc, const char* const* argv) {
  WorkerConfig config;
  config.worker_name = HostName();
  std::string log_format = "text";
  std::string log_level = "info";
  std::string checkpoint_interval = "60s";
  std::string drain_timeout = "30s";
  CLI::App app("Topiary's worker: takes jobs from a coordinator and runs them.", "topiary-worker");
  app.set_version_flag("--version", std::string("topiary-worker ") + kVersion);
  AddFlag(&app, "coordinator", &config.coordinator, "address of the coordinator, host:port");
  AddFlag(&app, "metrics-listen", &config.metrics_listen,
          "address of /metrics, host:port; port 0: any; none: nowhere");
  AddFlag(&app, "port-file", &config.port_file, "file to write the address of /metrics to");
  AddFlag(&app, "data-dir", &config.data_dir, "folder for cached artifacts and running attempts");
  AddFlag(&app, "worker-name", &config.worker_name,
          "what its id, unlike any other process's, begins with");
  AddFlag(&app, "slots", &config.slots, "attempts at a time");
  AddFlag(&app, "threads", &config.threads, "threads of one attempt; 0: as there are processors");
  AddFlag(&app, "isa", &config.isa, "highest instruction set to use, such as avx2");
  AddFlag(&app, "layer-costs-dir", &config.layer_costs_dir,
          "folder for what layers cost on this machine, which its workers may share; empty: in "
          "the data folder");
  AddFlag(&app, "cache-bytes", &config.cache_bytes,
          "limit of the artifact cache; 16GiB is understood")
      ->transform(CLI::AsSizeValue(true));
  AddFlag(&app, "memory-bytes", &config.memory_bytes, "memory for one attempt; 0: no limit")
      ->transform(CLI::AsSizeValue(true));
  AddFlag(&app, "checkpoint-interval", &checkpoint_interval, "time between two checkpoints");
  AddFlag(&app, "drain-timeout", &drain_timeout, "time to hand attempts back after SIGTERM");
  AddFlag(&app, "log-format", &log_format, "text or json");
  AddFlag(&app, "log-level", &log_level, "debug, info, warning or error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version.
    std::exit(app.exit(success));
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(error.what(), "; topiary-worker --help lists the flags"));
  }
  ASSIGN_OR_RETURN(config.log.format, ParseLogFormat(log_format));
  ASSIGN_OR_RETURN(config.log.level, ParseLogLevel(log_level));
  ASSIGN_OR_RETURN(config.checkpoint_interval,
                   ParseDurationFlag("checkpoint-interval", checkpoint_interval));
  ASSIGN_OR_RETURN(config.drain_timeout, ParseDurationFlag("drain-timeout", drain_timeout));
  if (config.metrics_listen == "none") config.metrics_listen.clear();
  RETURN_IF_ERROR(Check(config));
  config.worker_id = WorkerId(config.worker_name);
  if (config.threads == 0) config.threads = std::max(1, AvailableProcessors() / config.slots);
  return config;
}

int ProcessorsOfQuota(const std::string& cpu_max) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(cpu_max), ' ', absl::SkipEmpty());
  double quota = 0;
  double period = 0;
  if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &quota) ||
      !absl::SimpleAtod(parts[1], &period) || !(quota > 0) || !(period > 0)) {
    return 0;
  }
  return static_cast<int>(std::min(1e6, std::ceil(quota / period)));
}

int AvailableProcessors() {
  cpu_set_t allowed;
  int processors = 1;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) processors = CPU_COUNT(&allowed);
  const absl::StatusOr<std::string> cpu_max = ReadFile("/sys/fs/cgroup/cpu.max", 4096);
  const int quota = cpu_max.ok() ? ProcessorsOfQuota(*cpu_max) : 0;
  if (quota > 0) processors = std::min(processors, quota);
  return std::max(1, processors);
}

int64_t AvailableMemoryBytes() {
  const int64_t machine =
      static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  const absl::StatusOr<std::string> limit = ReadFile("/sys/fs/cgroup/memory.max", 4096);
  int64_t bytes = 0;
  if (limit.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*limit), &bytes) && bytes > 0) {
    return std::min(bytes, machine);
  }
  return machine;
}

}  // namespace topiary
