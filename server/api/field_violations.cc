#include "server/api/field_violations.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/api/error_details.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// Paths and descriptions may quote what a client sent.
constexpr size_t kMaxTextBytes = 200;

std::string Shorten(absl::string_view text) {
  if (text.size() <= kMaxTextBytes) return std::string(text);
  size_t end = kMaxTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

}  // namespace

void FieldViolations::Add(absl::string_view field, absl::string_view description) {
  FieldViolation violation = {Shorten(field), Shorten(description)};
  const size_t bytes = violation.field.size() + violation.description.size();
  if (violations_.size() >= kMax || bytes_ + bytes > kMaxBytes) {
    ++left_out_;
    return;
  }
  bytes_ += bytes;
  violations_.push_back(std::move(violation));
}

bool FieldViolations::Check(bool ok, absl::string_view field, absl::string_view description) {
  if (!ok) Add(field, description);
  return ok;
}

absl::Status FieldViolations::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  std::string message = absl::StrCat(violations_[0].field, ": ", violations_[0].description);
  const size_t others = violations_.size() - 1 + left_out_;
  if (others > 0) {
    absl::StrAppend(&message, " (and ", others, others == 1 ? " other field)" : " other fields)");
  }
  google::rpc::BadRequest bad_request;
  for (const FieldViolation& violation : violations_) {
    auto* added = bad_request.add_field_violations();
    added->set_field(violation.field);
    added->set_description(violation.description);
  }
  absl::Status status = WithReason(absl::InvalidArgumentError(message), kReasonInvalidRequest);
  status.SetPayload(kBadRequestUrl, absl::Cord(bad_request.SerializeAsString()));
  return status;
}

}  // namespace topiary
