#include "common/clock.h"

#include "absl/time/clock.h"

namespace topiary {
namespace {

class WallClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
};

}  // namespace

Clock* SystemClock() {
  static WallClock* const clock = new WallClock;  // Never destroyed: threads may outlive main().
  return clock;
}

}  // namespace topiary
