#ifndef TOPIARY_SERVER_GRPC_LOG_H_
#define TOPIARY_SERVER_GRPC_LOG_H_

namespace topiary {

// Writes what the gRPC library has to say to our log, in our format. Once, at the start of main().
void SendGrpcLogToOurs();

}  // namespace topiary

#endif  // TOPIARY_SERVER_GRPC_LOG_H_
