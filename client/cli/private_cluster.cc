#include "client/cli/private_cluster.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/local_file.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kStartTimeout = absl::Seconds(30);
constexpr absl::Duration kStopGrace = absl::Seconds(5);
constexpr size_t kTailBytes = 2000;

absl::StatusOr<std::string> MakeTemporaryFolder() {
  const char* base = getenv("TMPDIR");
  std::string path =
      absl::StrCat(base != nullptr && *base != '\0' ? base : "/tmp", "/topiary-run-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    return absl::InternalError(absl::StrCat("cannot make ", path, ": ", std::strerror(errno)));
  }
  return path;
}

// Of what may be lost, but is better kept from run to run; empty where the user has no such folder.
std::string UserCacheFolder() {
  const char* cache = getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return absl::StrCat(cache, "/topiary");
  const char* home = getenv("HOME");
  return home != nullptr && *home == '/' ? absl::StrCat(home, "/.cache/topiary") : "";
}

absl::StatusOr<std::string> ChooseBinary(const std::string& given, const std::string& name) {
  return given.empty() ? FindBinary(name) : absl::StatusOr<std::string>(given);
}

absl::Status Ended(const std::string& name, ChildProcess* child) {
  return absl::InternalError(absl::StrCat(name, " ", child->Describe(), "; its log ends with:\n",
                                          LogTail(child->log_path(), kTailBytes)));
}

}  // namespace

std::string LogTail(const std::string& log_path, size_t bytes) {
  std::string text = ReadFile(log_path).value_or("");
  if (text.size() <= bytes) return text;
  text.erase(0, text.size() - bytes);
  const size_t newline = text.find('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

absl::StatusOr<std::string> FindBinary(const std::string& name) {
  std::vector<std::string> candidates;
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    candidates.push_back((self.parent_path() / name).string());
    // bazel-bin/client/cli/topiary -> bazel-bin/server/topiary-server
    const std::string folder = name.substr(name.find('-') + 1);
    candidates.push_back((self.parent_path().parent_path().parent_path() / folder / name).string());
  }
  const char* path = getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (!folder.empty()) candidates.push_back(absl::StrCat(folder, "/", name));
  }
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, error)) {
      return candidate;
    }
  }
  return absl::NotFoundError(absl::StrCat("there is no ", name,
                                          "; name it with --server-binary or --worker-binary. "
                                          "Looked for: ",
                                          absl::StrJoin(candidates, ", ")));
}

absl::StatusOr<std::unique_ptr<PrivateCluster>> PrivateCluster::Start(
    const PrivateClusterOptions& options, Cancellation* cancellation) {
  std::unique_ptr<PrivateCluster> cluster(new PrivateCluster());
  if (options.data_dir.empty()) {
    ASSIGN_OR_RETURN(cluster->folder_, MakeTemporaryFolder());
    cluster->temporary_ = true;
  } else {
    RETURN_IF_ERROR(LocalFileError(CreateFolders(options.data_dir)));
    cluster->folder_ = options.data_dir;
  }
  RETURN_IF_ERROR(cluster->StartServer(options, cancellation));
  RETURN_IF_ERROR(cluster->StartWorker(options));
  return cluster;
}

absl::Status PrivateCluster::StartServer(const PrivateClusterOptions& options,
                                         Cancellation* cancellation) {
  ASSIGN_OR_RETURN(const std::string binary, ChooseBinary(options.server_binary, "topiary-server"));
  unlink(Path("server.port").c_str());  // Of an earlier run.
  ASSIGN_OR_RETURN(server_, LocalFileError(ChildProcess::Start(
                                {binary, "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0",
                                 absl::StrCat("--data-dir=", Path("server")),
                                 absl::StrCat("--port-file=", Path("server.port"))},
                                {Path("server.log"), {}})));
  const absl::StatusOr<std::vector<std::string>> lines =
      WaitForPortFile(Path("server.port"), server_.get(), kStartTimeout,
                      [&](absl::Duration pause) { return cancellation->WaitFor(pause); });
  if (absl::IsUnavailable(lines.status())) return Ended("topiary-server", server_.get());
  RETURN_IF_ERROR(lines.status());
  target_ = lines->front();
  return absl::OkStatus();
}

absl::Status PrivateCluster::StartWorker(const PrivateClusterOptions& options) {
  ASSIGN_OR_RETURN(const std::string binary, ChooseBinary(options.worker_binary, "topiary-worker"));
  std::vector<std::string> arguments = {binary, absl::StrCat("--coordinator=", target_),
                                        "--metrics-listen=127.0.0.1:0",
                                        absl::StrCat("--data-dir=", Path("worker"))};
  // The folder of this run may be thrown away.
  if (const std::string cache = UserCacheFolder(); !cache.empty()) {
    arguments.push_back(absl::StrCat("--layer-costs-dir=", cache, "/layer-costs"));
  }
  if (options.threads > 0) arguments.push_back(absl::StrCat("--threads=", options.threads));
  ASSIGN_OR_RETURN(worker_,
                   LocalFileError(ChildProcess::Start(arguments, {Path("worker.log"), {}})));
  return absl::OkStatus();
}

absl::Status PrivateCluster::Check() {
  if (!server_->Running()) return Ended("topiary-server", server_.get());
  if (!worker_->Running()) return Ended("topiary-worker", worker_.get());
  return absl::OkStatus();
}

PrivateCluster::~PrivateCluster() {
  // What is thrown away need not be put in order first.
  const absl::Duration grace = temporary_ ? absl::ZeroDuration() : kStopGrace;
  if (worker_ != nullptr) worker_->Stop(grace);
  if (server_ != nullptr) server_->Stop(grace);
  std::error_code ignored;
  if (temporary_) fs::remove_all(folder_, ignored);
}

}  // namespace topiary
