#include "client/retry.h"

#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/optional.h"
#include "google/rpc/error_details.pb.h"

namespace topiary {
namespace {

constexpr absl::string_view kRetryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";

}  // namespace

absl::Duration RequestedDelay(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kRetryInfoUrl);
  google::rpc::RetryInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) {
    return absl::ZeroDuration();
  }
  const absl::Duration delay =
      absl::Seconds(info.retry_delay().seconds()) + absl::Nanoseconds(info.retry_delay().nanos());
  return std::clamp(delay, absl::ZeroDuration(), absl::Minutes(1));
}

bool IsTransient(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kAborted ||
         (!status.ok() && status.GetPayload(kRetryInfoUrl).has_value());
}

absl::Status WaitToRetry(const absl::Status& status, Backoff* backoff, Cancellation* cancellation) {
  if (IsCancelled(cancellation)) return absl::CancelledError("stopped");
  if (!IsTransient(status) || !backoff->Fail()) return status;
  const absl::Duration delay = std::max(backoff->Delay(), RequestedDelay(status));
  if (cancellation == nullptr) {
    absl::SleepFor(delay);
  } else if (!cancellation->WaitFor(delay)) {
    return absl::CancelledError("stopped");
  }
  return absl::OkStatus();
}

absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

}  // namespace topiary
