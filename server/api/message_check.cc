#include "server/api/message_check.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/unknown_field_set.h"

namespace topiary {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// One value of a field, whether it is repeated or not.
struct Value {
  const Message& message;
  const FieldDescriptor* field;
  int index;  // -1: not repeated

  double AsDouble() const {
    const Reflection* reflection = message.GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      return index < 0 ? reflection->GetFloat(message, field)
                       : reflection->GetRepeatedFloat(message, field, index);
    }
    return index < 0 ? reflection->GetDouble(message, field)
                     : reflection->GetRepeatedDouble(message, field, index);
  }

  int AsEnum() const {
    const Reflection* reflection = message.GetReflection();
    return index < 0 ? reflection->GetEnumValue(message, field)
                     : reflection->GetRepeatedEnumValue(message, field, index);
  }

  const Message& AsMessage() const {
    const Reflection* reflection = message.GetReflection();
    return index < 0 ? reflection->GetMessage(message, field)
                     : reflection->GetRepeatedMessage(message, field, index);
  }
};

void CheckValue(const Value& value, absl::string_view path, FieldViolations* violations) {
  switch (value.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      violations->Check(std::isfinite(value.AsDouble()), path, "must be a finite number");
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      violations->Check(
          value.field->enum_type()->FindValueByNumber(value.AsEnum()) != nullptr, path,
          absl::StrCat("this version of the service does not know the value ", value.AsEnum()));
      return;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      CheckWellFormed(value.AsMessage(), path, violations);
      return;
    default:
      return;
  }
}

bool MayHoldSomethingWrong(const FieldDescriptor& field) {
  // A map is looked at through a copy of its entries, which is not worth it for plain values.
  if (field.is_map()) return MayHoldSomethingWrong(*field.message_type()->map_value());
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_ENUM:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string JoinPath(absl::string_view path, absl::string_view field) {
  return path.empty() ? std::string(field) : absl::StrCat(path, ".", field);
}

std::string ElementPath(absl::string_view path, absl::string_view field, int index) {
  return absl::StrCat(JoinPath(path, field), "[", index, "]");
}

void CheckWellFormed(const Message& message, absl::string_view path, FieldViolations* violations) {
  const Reflection* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    violations->Add(JoinPath(path, absl::StrCat(unknown.field(i).number())),
                    "this version of the service has no field of this number");
  }
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!MayHoldSomethingWrong(*field)) continue;
    if (!field->is_repeated()) {
      CheckValue({message, field, -1}, JoinPath(path, field->name()), violations);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      CheckValue({message, field, i}, ElementPath(path, field->name(), i), violations);
    }
  }
}

}  // namespace topiary
