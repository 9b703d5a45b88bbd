#ifndef TOPIARY_CLIENT_ARTIFACT_TRANSFER_H_
#define TOPIARY_CLIENT_ARTIFACT_TRANSFER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"
#include "topiary/v1/artifacts.pb.h"

namespace grpc {
class Channel;
}

namespace topiary {

struct TransferOptions {
  // Told of bytes that are across, and of all, on the calling thread; after a resume it starts
  // where the transfer goes on.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> progress;
  // Stops the transfer: CANCELLED. What is across stays for the next time. May be null.
  Cancellation* cancellation = nullptr;
  // Between tries after a cut. Bytes that got across start the count anew.
  BackoffOptions backoff;
  // A stream carries at most this many bytes and lasts at most this long before the next one
  // begins, so that every call has a deadline.
  int64_t segment_bytes = int64_t{32} << 20;
  absl::Duration segment_timeout = absl::Minutes(5);
  // Of the unary calls.
  absl::Duration call_timeout = absl::Seconds(30);
};

struct UploadSource {
  std::string path;  // On this machine.
  v1::ArtifactKind kind = v1::ARTIFACT_KIND_DATA;
  std::string display_name;  // Empty: the last part of `path`.
  std::string digest;        // If known already; empty: computed.
};

// Moves artifacts between files here and a coordinator, in chunks of 512 KiB: memory stays flat
// whatever the size. Transfers that were cut (UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED by a stale
// offset) go on where they stopped, also in a later process. Bytes are compared with their SHA-256
// on arrival, on either side.
//
// Errors common to all methods: those of the server with their google.rpc details (see
// common/grpc_status.h), NOT_FOUND for a missing artifact or local file, DATA_LOSS where bytes are
// not those of the digest, CANCELLED. The message names the file or digest.
//
// Thread-safe; each call blocks its thread.
class ArtifactTransfer {
 public:
  explicit ArtifactTransfer(std::shared_ptr<grpc::Channel> channel);

  // Makes the file's bytes an artifact of `project` ("projects/p"). Known bytes are not sent again.
  // DATA_LOSS if the file changed meanwhile.
  absl::StatusOr<v1::Artifact> Upload(const std::string& project, const UploadSource& source,
                                      const TransferOptions& options);

  // Writes the artifact `digest` of `project` to `path`, which appears only when whole and checked
  // (a file that is there is replaced). Until then bytes gather in PartialPath(), from which a
  // later call goes on. UNAVAILABLE while another process downloads the same.
  absl::Status Download(const std::string& project, const std::string& digest,
                        const std::string& path, const TransferOptions& options);

  // The bytes of a small artifact. RESOURCE_EXHAUSTED if it has more than `max_bytes`.
  absl::StatusOr<std::string> Read(const std::string& project, const std::string& digest,
                                   int64_t max_bytes, const TransferOptions& options);

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

// Where an unfinished download of `digest` to `path` lies: PATH.<12 digits of the digest>.partial.
std::string PartialPath(const std::string& path, absl::string_view digest);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_ARTIFACT_TRANSFER_H_
