#ifndef TOPIARY_SERVER_API_SERIALIZE_H_
#define TOPIARY_SERVER_API_SERIALIZE_H_

#include <string>

#include "google/protobuf/message_lite.h"

namespace topiary {

// The same bytes for equal messages, within one version of protobuf.
std::string SerializeDeterministically(const google::protobuf::MessageLite& message);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SERIALIZE_H_
