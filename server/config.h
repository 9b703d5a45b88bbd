#ifndef TOPIARY_SERVER_CONFIG_H_
#define TOPIARY_SERVER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/logging.h"

namespace topiary {

// Everything that can be set about a coordinator. Each has a flag, --listen for `listen`, and an
// environment variable, TOPIARY_LISTEN; the flag wins.
struct ServerConfig {
  // host:port to serve gRPC at; port 0 takes a free one. Also unix:PATH.
  std::string listen = "127.0.0.1:7070";
  // host:port to serve /metrics at; port 0 takes a free one; "none" or empty: nowhere.
  std::string metrics_listen = "127.0.0.1:7071";
  // Folder of the database and the artifacts; made if it is missing. Required.
  std::string data_dir;
  // File to write the addresses to once they are listened on: first line gRPC, second line metrics
  // (empty if there are none). Empty: no file.
  std::string port_file;

  // How long a worker holds an attempt from each report of it. At least three report intervals.
  absl::Duration lease_duration = absl::Seconds(30);
  // How often workers report. 10 ms to 1 minute.
  absl::Duration report_interval = absl::Seconds(1);
  // How long a job that was tried before waits for a worker that gives the same bits: one with the
  // same oneDNN, instruction set and threads. Then any worker may have it. 0 to 24 hours.
  absl::Duration same_key_wait = absl::Minutes(10);
  // How long calls in progress may take to end after SIGTERM. 0 to 10 minutes.
  absl::Duration drain_timeout = absl::Seconds(10);

  // Of one artifact. 1 to 2^50 bytes.
  int64_t max_artifact_bytes = int64_t{16} << 30;
  // Of one project: jobs that have not ended, uploads that have not.
  int max_live_jobs = 10000;
  int max_open_uploads = 1000;
  // Open streams of all clients: watches, uploads, downloads.
  int max_streams = 10000;
  // For calls that work on the store, and as many again for transfers of artifacts. 1 to 256.
  int threads = 8;

  // Whether clients may ask which services there are (gRPC server reflection).
  bool reflection = true;

  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
};

struct ServerCommandLine {
  ServerConfig config;
  // Not empty: print this and exit 0 (--help, --version).
  std::string text;
};

// Reads flags, without the program's name, and the environment. INVALID_ARGUMENT names the flag
// that is wrong and what would be right. Call it before there are threads: it reads the
// environment.
absl::StatusOr<ServerCommandLine> ParseServerCommandLine(const std::vector<std::string>& flags);

// Checks the ranges above.
absl::Status ValidateConfig(const ServerConfig& config);

}  // namespace topiary

#endif  // TOPIARY_SERVER_CONFIG_H_
