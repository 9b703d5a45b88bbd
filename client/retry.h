#ifndef TOPIARY_CLIENT_RETRY_H_
#define TOPIARY_CLIENT_RETRY_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"

namespace topiary {

// True if the same call may succeed later: UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, and whatever
// the server sent a google.rpc.RetryInfo with.
bool IsTransient(const absl::Status& status);

// The wait that the server asked for, in google.rpc.RetryInfo, at most a minute; zero if it did
// not.
absl::Duration RequestedDelay(const absl::Status& status);

// Waits before the next try after `status`. Returns OK when it is time, `status` itself when it is
// not transient or `backoff` gave up, CANCELLED when cancelled. `cancellation` may be null.
absl::Status WaitToRetry(const absl::Status& status, Backoff* backoff, Cancellation* cancellation);

// `status` with `prefix` and ": " before its message; payloads are kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view prefix);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_RETRY_H_
