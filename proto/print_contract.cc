// Prints the compiled contract as a text FileDescriptorSet, for proto/update_golden.

#include <iostream>
#include <string>

#include "google/protobuf/text_format.h"
#include "proto/contract_diff.h"

int main() {
  std::string text;
  google::protobuf::TextFormat::PrintToString(topiary::CompiledContract(), &text);
  std::cout << "# The v1 contract, made by proto/update_golden. proto/golden_test.cc compares it.\n"
            << "# proto-file: google/protobuf/descriptor.proto\n"
            << "# proto-message: google.protobuf.FileDescriptorSet\n"
            << text;
  return 0;
}
