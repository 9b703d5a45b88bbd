#ifndef TOPIARY_CLIENT_CHANNEL_H_
#define TOPIARY_CLIENT_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
class ChannelCredentials;
class ClientContext;
}  // namespace grpc

namespace topiary {

struct ChannelOptions {
  // "host:port", "unix:/path" or any other gRPC target.
  std::string target = "localhost:7070";
  // How to prove who is who. Null: none, plain text.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Pings on a connection with calls but without traffic, so that a dead peer is noticed. The
  // server must allow them this often.
  absl::Duration keepalive_interval = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);
};

// A channel to a coordinator. It connects when first used and again after a loss. Calls that may be
// repeated (reads, CreateJob with its request_id, the unary part of uploads) are repeated by gRPC
// itself, up to 5 times, when they end UNAVAILABLE; Delete and Synchronize are not, and streams are
// resumed by ArtifactTransfer and JobClient. Channels are thread-safe.
// INVALID_ARGUMENT for an empty target.
absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(const ChannelOptions& options);

// Every call has a deadline: this sets it, from now.
void SetDeadline(absl::Duration timeout, grpc::ClientContext* context);

// The service config that NewChannel() uses, as JSON.
absl::string_view RetryServiceConfig();

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CHANNEL_H_
