#ifndef TOPIARY_PROTO_CONTRACT_DIFF_H_
#define TOPIARY_PROTO_CONTRACT_DIFF_H_

#include <string>
#include <vector>

#include "google/protobuf/descriptor.pb.h"

namespace topiary {

// The files of the v1 contract as compiled into this program, by name, without comments.
google::protobuf::FileDescriptorSet CompiledContract();

// What differs between two versions of the contract, one line for each difference, such as
// "modified: file[0].message_type[2].field[1].number: 2 -> 3"; empty if nothing does. Files,
// messages, fields, enum values, services and methods are matched by name, so that their order
// does not matter. Comments are not compared.
std::vector<std::string> ContractDifferences(const google::protobuf::FileDescriptorSet& before,
                                             const google::protobuf::FileDescriptorSet& after);

}  // namespace topiary

#endif  // TOPIARY_PROTO_CONTRACT_DIFF_H_
