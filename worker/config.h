#ifndef TOPIARY_WORKER_CONFIG_H_
#define TOPIARY_WORKER_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/logging.h"

namespace topiary {

// Everything topiary-worker can be told. Each flag has an environment variable: --data-dir is
// TOPIARY_WORKER_DATA_DIR. A flag wins over its variable.
struct WorkerConfig {
  // The coordinator, "host:port".
  std::string coordinator = "localhost:7070";
  // Where /metrics is served, "host:port"; port 0 takes a free one; empty or "none": nowhere.
  std::string metrics_listen = "127.0.0.1:7072";
  // Written once /metrics is served: one line, its address. Empty: not written.
  std::string port_file;
  // Of this worker alone: cached artifacts and the files of running attempts.
  std::string data_dir = "topiary-worker-data";
  // Where what layers cost on this machine is kept, from which it follows which kernels run. May be
  // shared by the workers of a machine, which then decide alike. Empty: in data_dir.
  std::string layer_costs_dir;
  // What the id begins with; by default the host's name.
  std::string worker_name;
  // Of this process alone: worker_name and 8 random hexadecimal digits.
  std::string worker_id;
  // Attempts at a time.
  int slots = 1;
  // Of one attempt. 0: the processors that this process may use (affinity and cgroup quota),
  // divided by the slots.
  int threads = 0;
  // Highest instruction set to use, in oneDNN's words ("avx2"); empty: what the processor has.
  std::string isa;
  // Of artifacts kept on disk.
  int64_t cache_bytes = int64_t{20} << 30;
  // Of one attempt. 0: not limited; jobs that ask for memory are then told the machine's, or its
  // control group's, divided by the slots.
  int64_t memory_bytes = 0;
  // Between two checkpoints of an attempt, besides those at phase ends.
  absl::Duration checkpoint_interval = absl::Seconds(60);
  // After the first SIGTERM; what is not handed back by then is left to its lease.
  absl::Duration drain_timeout = absl::Seconds(30);
  LogOptions log;
};

// INVALID_ARGUMENT, naming the flag, for a value that makes no sense. Where the arguments ask for
// --help or --version it prints that and ends the process.
absl::StatusOr<WorkerConfig> ParseWorkerConfig(int argc, const char* const* argv);

// Processors that this process may use: affinity, further bounded by the quota of its control
// group, rounded up. At least 1.
int AvailableProcessors();

// Memory that this process may use, in bytes: the machine's, bounded by its control group.
int64_t AvailableMemoryBytes();

// The quota in the text of a cgroup v2 cpu.max file ("150000 100000": 2 processors), rounded up;
// 0 for none or a text that is not understood.
int ProcessorsOfQuota(const std::string& cpu_max);

}  // namespace topiary

#endif  // TOPIARY_WORKER_CONFIG_H_
