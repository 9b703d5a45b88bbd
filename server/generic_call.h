// Calls of services whose messages we have no classes for, such as health and reflection.
#ifndef TOPIARY_SERVER_GENERIC_CALL_H_
#define TOPIARY_SERVER_GENERIC_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

namespace topiary {

grpc::ByteBuffer Buffer(const std::string& bytes);
std::string BytesOf(const grpc::ByteBuffer& buffer);

// One message there and, in `response`, one back, both serialized. Waits 30 s at most.
grpc::Status CallUnary(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                       const std::string& request, std::string* response);

// The method of the standard health service, and what it answers.
inline constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
inline constexpr char kServing[] = "\x08\x01";  // status: SERVING

}  // namespace topiary

#endif  // TOPIARY_SERVER_GENERIC_CALL_H_
