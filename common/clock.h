#ifndef TOPIARY_COMMON_CLOCK_H_
#define TOPIARY_COMMON_CLOCK_H_

#include "absl/time/time.h"

namespace topiary {

// Where the time comes from. Whatever decides by time takes a Clock (or the time itself), so that
// tests with leases and deadlines never sleep: see FakeClock.
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// The machine's wall clock. Never null, lives as long as the process.
Clock* SystemClock();

}  // namespace topiary

#endif  // TOPIARY_COMMON_CLOCK_H_
