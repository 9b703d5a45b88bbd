#include "proto/contract_diff.h"

#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"
#include "topiary/v1/admin.pb.h"
#include "topiary/v1/artifacts.pb.h"
#include "topiary/v1/budgets.pb.h"
#include "topiary/v1/data.pb.h"
#include "topiary/v1/execution.pb.h"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/methods.pb.h"
#include "topiary/v1/spec.pb.h"
#include "topiary/v1/training.pb.h"
#include "topiary/v1/workers.pb.h"

namespace topiary {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorSet;
using google::protobuf::util::MessageDifferencer;

// The repeated fields of descriptor.proto whose elements are known by their names.
void MatchByName(MessageDifferencer* differencer) {
  const google::protobuf::FileDescriptor* file = FileDescriptorSet::descriptor()->file();
  for (int i = 0; i < file->message_type_count(); ++i) {
    const Descriptor* message = file->message_type(i);
    for (int j = 0; j < message->field_count(); ++j) {
      const FieldDescriptor* field = message->field(j);
      if (!field->is_repeated() || field->message_type() == nullptr) continue;
      const FieldDescriptor* name = field->message_type()->FindFieldByName("name");
      if (name == nullptr || name->is_repeated() || name->message_type() != nullptr) continue;
      differencer->TreatAsMap(field, name);
    }
  }
}

}  // namespace

FileDescriptorSet CompiledContract() {
  FileDescriptorSet set;
  for (const google::protobuf::FileDescriptor* file :
       {v1::Worker::descriptor()->file(), v1::Artifact::descriptor()->file(),
        v1::LayerTarget::descriptor()->file(), v1::Data::descriptor()->file(),
        v1::Placement::descriptor()->file(), v1::Job::descriptor()->file(),
        v1::DenseMethod::descriptor()->file(), v1::CompressionSpec::descriptor()->file(),
        v1::Optimizer::descriptor()->file(), v1::Lease::descriptor()->file()}) {
    file->CopyTo(set.add_file());
  }
  return set;
}

std::vector<std::string> ContractDifferences(const FileDescriptorSet& before,
                                             const FileDescriptorSet& after) {
  MessageDifferencer differencer;
  MatchByName(&differencer);
  std::string report;
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(before, after)) return {};
  return absl::StrSplit(report, '\n', absl::SkipEmpty());
}

}  // namespace topiary
