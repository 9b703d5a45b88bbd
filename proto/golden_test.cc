#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/contract_diff.h"

namespace topiary {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kGolden[] = "proto/topiary_v1.golden.textproto";

FileDescriptorSet Golden() {
  std::ifstream file(kGolden);
  std::stringstream text;
  text << file.rdbuf();
  FileDescriptorSet golden;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text.str(), &golden)) << kGolden;
  return golden;
}

TEST(ContractGolden, TheCompiledContractIsTheCommittedOne) {
  EXPECT_THAT(ContractDifferences(Golden(), CompiledContract()), IsEmpty())
      << "The contract has changed. If that is meant, run proto/update_golden and say in the "
         "CHANGELOG what clients must do.";
}

// ---- The comparison itself notices what would break a client
// -------------------------------------

DescriptorProto* MessageNamed(FileDescriptorSet* set, const std::string& name) {
  for (FileDescriptorProto& file : *set->mutable_file()) {
    for (DescriptorProto& message : *file.mutable_message_type()) {
      if (message.name() == name) return &message;
    }
  }
  return nullptr;
}

struct ChangeCase {
  const char* name;
  std::function<void(FileDescriptorSet*)> change;
  const char* difference;
};

class ContractDifferencesNotice : public testing::TestWithParam<ChangeCase> {};

TEST_P(ContractDifferencesNotice, TheChange) {
  FileDescriptorSet changed = CompiledContract();
  GetParam().change(&changed);
  EXPECT_THAT(ContractDifferences(CompiledContract(), changed),
              Contains(HasSubstr(GetParam().difference)));
}

INSTANTIATE_TEST_SUITE_P(
    Changes, ContractDifferencesNotice,
    testing::Values(
        ChangeCase{"ARenumberedField",
                   [](FileDescriptorSet* set) {
                     MessageNamed(set, "GetJobRequest")->mutable_field(0)->set_number(7);
                   },
                   ".number: 1 -> 7"},
        ChangeCase{"ARetypedField",
                   [](FileDescriptorSet* set) {
                     MessageNamed(set, "GetJobRequest")
                         ->mutable_field(0)
                         ->set_type(FieldDescriptorProto::TYPE_BYTES);
                   },
                   ".type: TYPE_STRING -> TYPE_BYTES"},
        ChangeCase{"ARemovedField",
                   [](FileDescriptorSet* set) {
                     MessageNamed(set, "ListJobsRequest")->mutable_field()->RemoveLast();
                   },
                   "deleted: "},
        ChangeCase{"AnAddedField",
                   [](FileDescriptorSet* set) {
                     FieldDescriptorProto* field = MessageNamed(set, "Job")->add_field();
                     field->set_name("surprise");
                     field->set_number(99);
                   },
                   "added: "},
        ChangeCase{"ARenamedEnumValue",
                   [](FileDescriptorSet* set) {
                     MessageNamed(set, "Attempt")
                         ->mutable_enum_type(0)
                         ->mutable_value(1)
                         ->set_name("GOING");
                   },
                   "GOING"},
        ChangeCase{"AStreamMadeUnary",
                   [](FileDescriptorSet* set) {
                     for (FileDescriptorProto& file : *set->mutable_file()) {
                       for (auto& service : *file.mutable_service()) {
                         for (auto& method : *service.mutable_method()) {
                           if (method.name() == "WatchJob") method.set_server_streaming(false);
                         }
                       }
                     }
                   },
                   ".server_streaming: true -> false"}),
    [](const testing::TestParamInfo<ChangeCase>& info) { return info.param.name; });

TEST(ContractDifferences, DoNotMindTheOrderOfDeclarations) {
  FileDescriptorSet reordered = CompiledContract();
  auto* fields = MessageNamed(&reordered, "Job")->mutable_field();
  fields->SwapElements(0, fields->size() - 1);
  reordered.mutable_file()->SwapElements(0, reordered.file_size() - 1);
  EXPECT_THAT(ContractDifferences(CompiledContract(), reordered), IsEmpty());
}

// ---- Conventions
// ----------------------------------------------------------------------------------

void CheckEnum(const google::protobuf::EnumDescriptorProto& enumeration) {
  EXPECT_EQ(enumeration.value(0).number(), 0) << enumeration.name();
  EXPECT_TRUE(absl::EndsWith(enumeration.value(0).name(), "_UNSPECIFIED")) << enumeration.name();
}

void CheckEnumsOf(const DescriptorProto& message) {
  for (const auto& enumeration : message.enum_type()) CheckEnum(enumeration);
  for (const DescriptorProto& nested : message.nested_type()) CheckEnumsOf(nested);
}

TEST(ContractConventions, EveryEnumHasAnUnspecifiedZero) {
  const FileDescriptorSet contract = CompiledContract();
  for (const FileDescriptorProto& file : contract.file()) {
    for (const auto& enumeration : file.enum_type()) CheckEnum(enumeration);
    for (const DescriptorProto& message : file.message_type()) CheckEnumsOf(message);
  }
}

}  // namespace
}  // namespace topiary
