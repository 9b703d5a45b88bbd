// The coordinator as the agent sees it: one conversation and a store of bytes.
#ifndef TOPIARY_WORKER_AGENT_COORDINATOR_H_
#define TOPIARY_WORKER_AGENT_COORDINATOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cancellation.h"
#include "topiary/v1/artifacts.pb.h"
#include "topiary/v1/workers.pb.h"

namespace topiary {

// Thread-safe; every call blocks its thread. Errors are those of the calls, with their google.rpc
// details as payloads; CANCELLED once `cancellation` is cancelled.
class Coordinator {
 public:
  virtual ~Coordinator() = default;

  virtual absl::StatusOr<v1::SynchronizeResponse> Synchronize(const v1::SynchronizeRequest& request,
                                                              absl::Duration timeout,
                                                              Cancellation* cancellation) = 0;

  // Writes the artifact to `path`, whole and checked, or not at all. `project` is "projects/p".
  // Tries again through cut connections as long as bytes come across now and then.
  virtual absl::Status Download(const std::string& project, const std::string& digest,
                                const std::string& path, Cancellation* cancellation) = 0;

  // Makes the file an artifact. max_failures: tries in a row that bring nothing, before giving up.
  virtual absl::StatusOr<v1::Artifact> Upload(const std::string& project, const std::string& path,
                                              v1::ArtifactKind kind,
                                              const std::string& display_name, int max_failures,
                                              Cancellation* cancellation) = 0;

  // What its uploader called the artifact; may be empty. For messages, which can do without: one
  // try, of a few seconds at most.
  virtual absl::StatusOr<std::string> DisplayName(const std::string& project,
                                                  const std::string& digest,
                                                  Cancellation* cancellation) = 0;
};

// Over gRPC, to the coordinator at `target` ("host:port"). INVALID_ARGUMENT for a bad target.
// Connects when first used.
absl::StatusOr<std::unique_ptr<Coordinator>> NewGrpcCoordinator(const std::string& target);

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_COORDINATOR_H_
