// topiary-server: flags -> configuration -> stores -> server -> signal -> orderly end.

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "server/artifacts/local_artifact_store.h"
#include "server/config.h"
#include "server/grpc_log.h"
#include "server/jobs/sqlite_metadata_store.h"
#include "server/server.h"

namespace topiary {
namespace {

absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerConfig& config) {
  RETURN_IF_ERROR(CreateFolders(config.data_dir));
  SqliteOptions options;
  options.path = absl::StrCat(config.data_dir, "/topiary.db");
  ASSIGN_OR_RETURN(std::unique_ptr<MetadataStore> metadata,
                   OpenSqliteMetadataStore(options, SystemClock()));
  ASSIGN_OR_RETURN(std::unique_ptr<ArtifactStore> blobs,
                   OpenLocalArtifactStore(absl::StrCat(config.data_dir, "/artifacts")));
  return Server::Start(config, std::move(metadata), std::move(blobs), SystemClock());
}

absl::Status WritePortFile(const std::string& path, const Server& server) {
  if (path.empty()) return absl::OkStatus();
  return WriteFileAtomically(path,
                             absl::StrCat(server.address(), "\n", server.metrics_address(), "\n"));
}

// SIGINT and SIGTERM, which all threads leave to WaitForSignal.
sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// Waits for the first stop signal; the second one ends the process at once.
void WaitForSignal(const sigset_t& signals) {
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  std::signal(SIGINT, [](int) { _exit(1); });
  std::signal(SIGTERM, [](int) { _exit(1); });
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

absl::Status Run(const ServerConfig& config) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, StartServer(config));
  RETURN_IF_ERROR(WritePortFile(config.port_file, *server));
  WaitForSignal(signals);
  server->Shutdown();
  return absl::OkStatus();
}

int Main(const std::vector<std::string>& flags) {
  const absl::StatusOr<ServerCommandLine> command_line = ParseServerCommandLine(flags);
  if (!command_line.ok()) {
    std::cerr << "topiary-server: " << command_line.status().message() << "\n";
    return 2;
  }
  if (!command_line->text.empty()) {
    std::cout << command_line->text;
    return 0;
  }
  LogInit({command_line->config.log_format, command_line->config.log_level});
  SendGrpcLogToOurs();
  const absl::Status status = Run(command_line->config);
  if (status.ok()) return 0;
  LogError("cannot serve", {{"error", status.ToString()}});
  return 1;
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) {
  return topiary::Main(std::vector<std::string>(argv + 1, argv + argc));
}
