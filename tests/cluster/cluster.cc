#include "tests/cluster/cluster.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(120);

// Binaries lie in the test's runfiles, below its working folder.
std::string Binary(const std::string& path) {
  const std::string full = std::filesystem::absolute(path).string();
  EXPECT_TRUE(std::filesystem::exists(full)) << full;
  return full;
}

// The last lines of a file.
std::string Tail(const std::string& path) {
  const std::string text = ReadFile(path).value_or("");
  constexpr size_t kBytes = 6000;
  return text.size() > kBytes ? text.substr(text.size() - kBytes) : text;
}

void AppendBigEndian(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

}  // namespace

Cluster::Cluster(std::string folder, const Options& options)
    : folder_(std::move(folder)), options_(options) {
  std::filesystem::remove_all(folder_);
  EXPECT_OK(CreateFolders(folder_));
}

Cluster::~Cluster() {
  if (testing::Test::HasFailure()) std::fputs(Logs().c_str(), stderr);
}

void Cluster::StartServer() {
  const std::string port_file = folder_ + "/server.ports";
  std::filesystem::remove(port_file);
  const std::string listen = address_.empty() ? "127.0.0.1:0" : address_;
  absl::StatusOr<std::unique_ptr<ChildProcess>> server = ChildProcess::Start(
      {Binary("server/topiary-server"), "--listen", listen, "--metrics-listen", "127.0.0.1:0",
       "--data-dir", folder_ + "/server", "--port-file", port_file, "--lease-duration",
       absl::FormatDuration(options_.lease_duration), "--report-interval", "100ms"},
      {folder_ + "/server.log", {}});
  ASSERT_OK(server.status());
  server_ = *std::move(server);
  const std::vector<std::string> lines = Ports(port_file, server_.get());
  ASSERT_EQ(lines.size(), 2) << Logs();
  address_ = lines[0];
  metrics_address_ = lines[1];
  ChannelOptions options;
  options.target = address_;
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = NewChannel(options);
  ASSERT_OK(channel.status());
  channel_ = *std::move(channel);
}

void Cluster::StartWorker(const std::string& name) {
  const std::string port_file = absl::StrCat(folder_, "/", name, ".ports");
  std::filesystem::remove(port_file);
  absl::StatusOr<std::unique_ptr<ChildProcess>> worker = ChildProcess::Start(
      {Binary("worker/topiary-worker"), "--coordinator", address_, "--worker-name", name,
       "--metrics-listen", "127.0.0.1:0", "--port-file", port_file, "--data-dir",
       absl::StrCat(folder_, "/", name), "--layer-costs-dir", folder_ + "/layer-costs", "--threads",
       absl::StrCat(options_.worker_threads), "--checkpoint-interval",
       absl::FormatDuration(options_.checkpoint_interval)},
      {absl::StrCat(folder_, "/", name, ".log"), {{"OMP_WAIT_POLICY", "passive"}}});
  ASSERT_OK(worker.status());
  workers_[name] = *std::move(worker);
}

JobClient Cluster::jobs() { return JobClient(channel_, kTestProject); }

ArtifactTransfer Cluster::artifacts() { return ArtifactTransfer(channel_); }

std::string Cluster::Upload(const std::string& bytes, v1::ArtifactKind kind) {
  const std::string path = folder_ + "/upload";
  EXPECT_OK(WriteFileAtomically(path, bytes));
  UploadSource source;
  source.path = path;
  source.kind = kind;
  absl::StatusOr<v1::Artifact> artifact = artifacts().Upload(kTestProject, source, {});
  EXPECT_OK(artifact.status());
  return artifact.ok() ? artifact->digest() : "";
}

std::string Cluster::Download(const std::string& digest) {
  absl::StatusOr<std::string> bytes =
      artifacts().Read(kTestProject, digest, int64_t{1} << 30, TransferOptions());
  EXPECT_OK(bytes.status());
  return bytes.value_or("");
}

bool Cluster::WatchUntil(const std::string& job,
                         const std::function<bool(const v1::JobEvent&)>& seen) {
  bool found = false;
  // An error ends the watch.
  const absl::StatusOr<v1::Job> ended =
      jobs().Watch(job, {}, [&](const v1::JobEvent& event) -> absl::Status {
        found = seen(event);
        return found ? absl::CancelledError("seen") : absl::OkStatus();
      });
  EXPECT_TRUE(found || ended.ok()) << ended.status();
  return found;
}

bool Cluster::WatchUntilStep(const std::string& job, int64_t step) {
  return WatchUntil(job,
                    [step](const v1::JobEvent& event) { return event.progress().step() >= step; });
}

v1::Job Cluster::WatchToTheEnd(const std::string& job) {
  absl::StatusOr<v1::Job> ended =
      jobs().Watch(job, {}, [](const v1::JobEvent&) { return absl::OkStatus(); });
  EXPECT_OK(ended.status());
  return ended.value_or(v1::Job());
}

std::string Cluster::LogOf(const std::string& worker) const {
  absl::StatusOr<std::string> log = ReadFile(workers_.at(worker)->log_path());
  EXPECT_OK(log.status());
  return log.value_or("");
}

std::string Cluster::Logs() {
  std::string logs = absl::StrCat("--- server\n", Tail(folder_ + "/server.log"));
  for (const auto& [name, worker] : workers_) {
    absl::StrAppend(&logs, "--- ", name, "\n", Tail(worker->log_path()));
  }
  return logs;
}

std::vector<std::string> Cluster::Ports(const std::string& path, ChildProcess* process) {
  absl::StatusOr<std::vector<std::string>> lines = WaitForPortFile(path, process, kPatience);
  EXPECT_OK(lines.status()) << Logs();
  return lines.value_or(std::vector<std::string>());
}

std::string ResultDigest(const v1::Job& job, v1::ResultFile::Kind kind) {
  for (const v1::ResultFile& file : job.result().files()) {
    if (file.kind() == kind) return file.digest();
  }
  return "";
}

IdxPair MakeImages(int count, int side, int classes, uint64_t seed) {
  IdxPair out;
  AppendBigEndian(0x00000803, &out.images);
  for (const int extent : {count, side, side}) AppendBigEndian(extent, &out.images);
  AppendBigEndian(0x00000801, &out.labels);
  AppendBigEndian(count, &out.labels);
  Random random(seed, kStreamTest, 0);
  for (int i = 0; i < count; ++i) {
    const int label = static_cast<int>(random.Below(classes));
    out.labels.push_back(static_cast<char>(label));
    for (int pixel = 0; pixel < side * side; ++pixel) {
      // Each class lights up every `classes`-th pixel, under much noise.
      const int signal = pixel % classes == label ? 70 : 0;
      out.images.push_back(static_cast<char>(signal + random.Below(160)));
    }
  }
  return out;
}

}  // namespace topiary
