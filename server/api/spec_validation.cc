#include "server/api/spec_validation.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/time_util.h"
#include "server/api/message_check.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int kMaxModelFiles = 64;
constexpr int kMaxLabels = 64;
constexpr int64_t kDaySeconds = 24 * 60 * 60;

bool IsSafeRelativePath(absl::string_view path) {
  if (path.empty() || path.size() > 255) return false;
  for (const char c : path) {
    if (absl::ascii_iscntrl(c) || c == '\\') return false;
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

bool IsLabelKey(absl::string_view key) {
  return !key.empty() && key.size() <= 63 && absl::ascii_islower(key.front()) &&
         std::all_of(key.begin(), key.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-';
         });
}

bool IsLabelValue(absl::string_view value) {
  return value.size() <= 63 && std::all_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
         });
}

void CheckDuration(const google::protobuf::Duration& value, int64_t low_seconds,
                   int64_t high_seconds, absl::string_view field, FieldChecks* check) {
  const bool valid =
      value.nanos() > -1000000000 && value.nanos() < 1000000000 &&
      (value.seconds() == 0 || value.nanos() == 0 || (value.seconds() < 0) == (value.nanos() < 0));
  const bool above =
      value.seconds() > low_seconds || (value.seconds() == low_seconds && value.nanos() >= 0);
  const bool below =
      value.seconds() < high_seconds || (value.seconds() == high_seconds && value.nanos() <= 0);
  check->That(valid && above && below, field,
              absl::StrCat("must lie between ", low_seconds, " s and ", high_seconds, " s"));
}

void ValidateRetry(const v1::RetryPolicy& retry, absl::string_view path,
                   FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.ZeroOrInRange(retry.max_attempts(), 1, 100, "max_attempts");
  CheckDuration(retry.initial_backoff(), 0, kDaySeconds, "initial_backoff", &check);
  CheckDuration(retry.maximum_backoff(), 0, kDaySeconds, "maximum_backoff", &check);
  if (retry.has_initial_backoff() && retry.has_maximum_backoff()) {
    check.That(!(retry.maximum_backoff() < retry.initial_backoff()), "maximum_backoff",
               "must not be less than initial_backoff");
  }
}

}  // namespace

void ValidateModel(const v1::Model& model, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.That(model.files_size() >= 1 && model.files_size() <= kMaxModelFiles, "files",
             "must have 1 to 64 entries");
  std::set<std::string> paths;
  int mains = 0;
  for (int i = 0; i < std::min(model.files_size(), kMaxModelFiles); ++i) {
    const v1::ModelFile& file = model.files(i);
    FieldChecks file_check(ElementPath(path, "files", i), violations);
    file_check.That(IsSafeRelativePath(file.path()), "path",
                    "must be a relative path inside the model's folder, of 1 to 255 bytes, its "
                    "parts joined by \"/\", none of them empty, \".\" or \"..\"");
    file_check.That(paths.insert(file.path()).second, "path", "is that of another file too");
    file_check.Digest(file.digest(), "digest");
    if (file.main()) ++mains;
  }
  check.That(mains == 1 || (mains == 0 && model.files_size() <= 1), "files",
             "must have exactly one entry with main = true, the model's own file");
}

void ValidateExecution(const v1::CompressionSpec& spec, absl::string_view path,
                       FieldViolations* violations) {
  FieldChecks check(path, violations);
  FieldChecks placement(check.PathOf("placement"), violations);
  if (spec.placement().has_threads()) {
    placement.InRange(spec.placement().threads(), 1, 1024, "threads");
  }
  placement.InRange(spec.placement().memory_bytes(), 0, int64_t{1} << 50, "memory_bytes");
  ValidateRetry(spec.retry(), check.PathOf("retry"), violations);
  if (spec.has_deadline()) {
    CheckDuration(spec.deadline(), 1, 30 * kDaySeconds, "deadline", &check);
  }
  check.InRange(spec.priority(), -100, 100, "priority");
  check.That(spec.labels_size() <= kMaxLabels, "labels", "must have at most 64 entries");
  for (const auto& [key, value] : spec.labels()) {
    const std::string field = absl::StrCat("labels[\"", key, "\"]");
    check.That(IsLabelKey(key), field, "the key must match [a-z][a-z0-9_-]{0,62}");
    check.That(IsLabelValue(value), field,
               "the value must be at most 63 characters of [A-Za-z0-9_.-]");
  }
}

void ValidateSurroundings(const v1::CompressionSpec& spec, absl::string_view path,
                          FieldViolations* violations) {
  ValidateModel(spec.model(), JoinPath(path, "model"), violations);
  if (!spec.has_benchmark()) ValidateData(spec.data(), JoinPath(path, "data"), violations);
  ValidateExecution(spec, path, violations);
}

void ValidateWork(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations) {
  if (spec.has_benchmark()) {
    FieldChecks check(path, violations);
    constexpr absl::string_view kWhy = "method benchmark runs on random inputs: leave it out";
    check.That(!spec.has_data(), "data", kWhy);
    check.That(!spec.has_task(), "task", kWhy);
  } else {
    ValidateTask(spec, JoinPath(path, "task"), violations);
  }
  ValidateMethod(spec, path, violations);
}

void ValidateSpec(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations) {
  if (!violations->Check(spec.ByteSizeLong() <= kMaxSpecBytes, path,
                         "must not be larger than 256 KiB")) {
    return;
  }
  const size_t before = violations->count();
  CheckWellFormed(spec, path, violations);
  if (violations->count() > before) return;
  if (spec.has_sweep()) return ValidateSweep(spec, path, violations);
  ValidateSurroundings(spec, path, violations);
  ValidateWork(spec, path, violations);
}

}  // namespace topiary
