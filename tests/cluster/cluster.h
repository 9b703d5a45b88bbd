#ifndef TOPIARY_TESTS_CLUSTER_CLUSTER_H_
#define TOPIARY_TESTS_CLUSTER_CLUSTER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/artifact_transfer.h"
#include "client/jobs.h"
#include "common/child_process.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// A real coordinator and real workers, as processes on this machine with folders of their own, and
// the client that a test needs to use them. What fails in setting up fails the test. One thread.
class Cluster {
 public:
  struct Options {
    absl::Duration lease_duration = absl::Seconds(20);  // Long enough for a busy machine.
    absl::Duration checkpoint_interval = absl::Seconds(60);
    int worker_threads = 1;
  };

  // Everything lies in `folder`, which is made anew.
  Cluster(std::string folder, const Options& options);
  ~Cluster();

  // Starts the coordinator, the second time at the address of the first.
  void StartServer();
  ChildProcess& server() { return *server_; }
  const std::string& metrics_address() const { return metrics_address_; }
  const std::string& address() const { return address_; }

  // A worker called `name`; the second time with the same folder.
  void StartWorker(const std::string& name);
  ChildProcess& worker(const std::string& name) { return *workers_.at(name); }

  JobClient jobs();
  ArtifactTransfer artifacts();
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

  // Uploads `bytes` and returns the digest.
  std::string Upload(const std::string& bytes, v1::ArtifactKind kind);

  // The bytes of an artifact.
  std::string Download(const std::string& digest);

  // Watches the job until `seen` returns true for one of its events (false: it ended before).
  bool WatchUntil(const std::string& job, const std::function<bool(const v1::JobEvent&)>& seen);
  // Until it has done this many steps.
  bool WatchUntilStep(const std::string& job, int64_t step);
  v1::Job WatchToTheEnd(const std::string& job);

  // All that the worker of this name has logged.
  std::string LogOf(const std::string& worker) const;

  // The end of the logs, for the message of a failed test.
  std::string Logs();

 private:
  // The addresses that a process writes down.
  std::vector<std::string> Ports(const std::string& path, ChildProcess* process);

  const std::string folder_;
  const Options options_;
  std::string address_;
  std::string metrics_address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<ChildProcess> server_;
  std::map<std::string, std::unique_ptr<ChildProcess>> workers_;
};

// The project of a Cluster's client.
inline constexpr char kTestProject[] = "projects/test";

// The digest of the result file of this kind; empty where the job has none.
std::string ResultDigest(const v1::Job& job, v1::ResultFile::Kind kind);

// The bytes of IDX files of `count` images of `side` x `side` in `classes` classes that a small
// network can tell apart, but not perfectly.
struct IdxPair {
  std::string images;
  std::string labels;
};
IdxPair MakeImages(int count, int side, int classes, uint64_t seed);

}  // namespace topiary

#endif  // TOPIARY_TESTS_CLUSTER_CLUSTER_H_
