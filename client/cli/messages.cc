#include "client/cli/messages.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"

namespace topiary {
namespace {

// Keeps the first error of the text format's parser.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    // The parser counts from 0; -1 means that the whole text is meant.
    if (text_.empty()) {
      text_ = line < 0 ? message : absl::StrCat(line + 1, ":", column + 1, ": ", message);
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string WithoutPrefix(const std::string& name, absl::string_view prefix, int number) {
  if (name.empty()) return absl::StrCat(number);
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails for invalid Any and Timestamp values only; those of a foreign server may be so.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

absl::StatusOr<v1::CompressionSpec> ParseSpec(absl::string_view name, const std::string& text) {
  v1::CompressionSpec spec;
  if (absl::EndsWith(name, ".json")) {
    const auto status = google::protobuf::util::JsonStringToMessage(text, &spec);
    if (status.ok()) return spec;
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", std::string(status.message().data(), status.message().size())));
  }
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text, &spec)) return spec;
  return absl::InvalidArgumentError(absl::StrCat(name, ":", error.text()));
}

std::string StateName(v1::JobState state) {
  return WithoutPrefix(v1::JobState_Name(state), "JOB_STATE_", state);
}

std::string ReasonName(v1::JobReason reason) {
  return WithoutPrefix(v1::JobReason_Name(reason), "JOB_REASON_", reason);
}

absl::StatusOr<v1::JobState> ParseState(absl::string_view word) {
  std::vector<std::string> known;
  for (const v1::JobState state :
       {v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING, v1::JOB_STATE_SUCCEEDED, v1::JOB_STATE_FAILED,
        v1::JOB_STATE_CANCELLED}) {
    known.push_back(StateName(state));
    if (absl::EqualsIgnoreCase(word, known.back())) return state;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", word, "\" is no job state; there are ", absl::StrJoin(known, ", ")));
}

std::string MethodName(const v1::CompressionSpec& spec) {
  if (spec.sweep().methods_size() > 0) return "sweep";
  if (spec.magnitude().has_iterative()) return "magnitude_iterative";
  if (spec.magnitude().has_one_shot()) return "magnitude_one_shot";
  const auto* field = v1::CompressionSpec::descriptor()->FindFieldByNumber(spec.method_case());
  return field == nullptr ? "" : field->name();
}

}  // namespace topiary
