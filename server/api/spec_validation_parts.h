#ifndef TOPIARY_SERVER_API_SPEC_VALIDATION_PARTS_H_
#define TOPIARY_SERVER_API_SPEC_VALIDATION_PARTS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/digest.h"
#include "server/api/field_violations.h"
#include "server/api/message_check.h"
#include "topiary/v1/spec.pb.h"

// The parts of ValidateSpec, one for each part of the spec, and the checks that they share. Only
// for spec_validation*.cc.
namespace topiary {

void ValidateModel(const v1::Model& model, absl::string_view path, FieldViolations* violations);
void ValidateData(const v1::Data& data, absl::string_view path, FieldViolations* violations);
void ValidateTask(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations);
// Method, target and outputs.
void ValidateMethod(const v1::CompressionSpec& spec, absl::string_view path,
                    FieldViolations* violations);
// What methods that prune are to prune; that others have none.
void ValidateTarget(const v1::CompressionSpec& spec, absl::string_view path,
                    FieldViolations* violations);
// What is asked of methods that prune by calibration, and only of those.
void ValidateCalibration(const v1::CompressionSpec& spec, absl::string_view path,
                         FieldViolations* violations);
void ValidateFeatureSelection(const v1::CompressionSpec& spec, absl::string_view path,
                              FieldViolations* violations);
// Placement, retry policy, deadline, priority and labels.
void ValidateExecution(const v1::CompressionSpec& spec, absl::string_view path,
                       FieldViolations* violations);

// A job's spec is made of both: model, data and execution, which all children of a sweep have in
// common, and the rest.
void ValidateSurroundings(const v1::CompressionSpec& spec, absl::string_view path,
                          FieldViolations* violations);
void ValidateWork(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations);
// Of a spec with a sweep: its lists, and each child's spec.
void ValidateSweep(const v1::CompressionSpec& spec, absl::string_view path,
                   FieldViolations* violations);

// The checks of one message's fields: each adds a violation under the message's path.
class FieldChecks {
 public:
  FieldChecks(absl::string_view path, FieldViolations* violations)
      : path_(path), violations_(violations) {}

  bool That(bool ok, absl::string_view field, absl::string_view description) {
    if (!ok) violations_->Add(JoinPath(path_, field), description);
    return ok;
  }
  bool InRange(int64_t value, int64_t low, int64_t high, absl::string_view field) {
    if (low <= value && value <= high) return true;
    return That(false, field, absl::StrCat("must lie between ", low, " and ", high));
  }
  // For integers whose zero means the default.
  bool ZeroOrInRange(int64_t value, int64_t low, int64_t high, absl::string_view field) {
    return That(value == 0 || (low <= value && value <= high), field,
                absl::StrCat("must lie between ", low, " and ", high, ", or be left out"));
  }
  bool InClosed(double value, double low, double high, absl::string_view field) {
    return That(low <= value && value <= high, field,
                absl::StrCat("must lie in [", low, ", ", high, "]"));
  }
  bool InRightOpen(double value, double low, double high, absl::string_view field) {
    return That(low <= value && value < high, field,
                absl::StrCat("must lie in [", low, ", ", high, ")"));
  }
  bool InLeftOpen(double value, double low, double high, absl::string_view field) {
    return That(low < value && value <= high, field,
                absl::StrCat("must lie in (", low, ", ", high, "]"));
  }
  bool InOpen(double value, double low, double high, absl::string_view field) {
    return That(low < value && value < high, field,
                absl::StrCat("must lie in (", low, ", ", high, ")"));
  }
  bool Digest(const std::string& value, absl::string_view field) {
    return That(IsSha256Hex(value), field,
                "must be the SHA-256 of an artifact, 64 lower-case hexadecimal digits");
  }
  std::string PathOf(absl::string_view field) const { return JoinPath(path_, field); }

 private:
  const std::string path_;
  FieldViolations* const violations_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SPEC_VALIDATION_PARTS_H_
