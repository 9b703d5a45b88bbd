#ifndef TOPIARY_CLIENT_BACKOFF_H_
#define TOPIARY_CLIENT_BACKOFF_H_

#include <cstdint>

#include "absl/time/time.h"

namespace topiary {

struct BackoffOptions {
  absl::Duration initial = absl::Milliseconds(200);
  absl::Duration maximum = absl::Seconds(10);
  // Tries in a row that bring nothing before the caller gives up.
  int max_failures = 8;
};

// How long to wait before the next try: doubled each time, up to the maximum, and spread by a
// random factor of 0.5 to 1, so that many clients do not return at once. Not thread-safe.
class Backoff {
 public:
  // `seed` makes the spread repeatable.
  Backoff(const BackoffOptions& options, uint64_t seed);
  explicit Backoff(const BackoffOptions& options);

  // The last try brought something: start from the beginning.
  void Reset() { failures_ = 0; }

  // Counts a failure. False when there were `max_failures` in a row: give up.
  bool Fail() { return ++failures_ < options_.max_failures; }

  // To wait after the last Fail().
  absl::Duration Delay();

 private:
  BackoffOptions options_;
  int failures_ = 0;
  uint64_t state_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_BACKOFF_H_
