#ifndef TOPIARY_SERVER_SERVER_H_
#define TOPIARY_SERVER_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "server/artifacts/artifact_store.h"
#include "server/config.h"
#include "server/jobs/metadata_store.h"

namespace topiary {

// A coordinator at work: the listening gRPC server with its services, health and reflection, the
// metrics endpoint, and the tasks in the background. Thread-safe.
class Server {
 public:
  // Begins to serve. UNAVAILABLE if an address cannot be listened on, by name. `clock` must outlive
  // the server; the stores become its own.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                                       std::unique_ptr<MetadataStore> metadata,
                                                       std::unique_ptr<ArtifactStore> blobs,
                                                       Clock* clock);

  // Shuts down, if that has not been done.
  virtual ~Server() = default;

  // Where clients and scrapers find it, with the port that was chosen; the second may be empty.
  virtual std::string address() const = 0;
  virtual std::string metrics_address() const = 0;

  // Orderly end: health turns NOT_SERVING; workers that wait are told, those that run hear it with
  // their next report; streams end with UNAVAILABLE; calls in progress get `drain_timeout`; then
  // everything stops. Blocks. May be called again.
  virtual void Shutdown() = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SERVER_H_
