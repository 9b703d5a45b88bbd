#include "client/backoff.h"

#include <algorithm>
#include <random>

namespace topiary {
namespace {

// Spreading clients apart is the one use of randomness that must differ between processes, so it
// does not come from common/random.h.
uint64_t FreshSeed() { return (uint64_t{std::random_device{}()} << 32) | std::random_device{}(); }

// SplitMix64 (Steele et al., 2014).
uint64_t NextRandom(uint64_t* state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

Backoff::Backoff(const BackoffOptions& options, uint64_t seed) : options_(options), state_(seed) {}

Backoff::Backoff(const BackoffOptions& options) : Backoff(options, FreshSeed()) {}

absl::Duration Backoff::Delay() {
  const int doublings = std::clamp(failures_ - 1, 0, 30);
  const absl::Duration full =
      std::min(options_.maximum, options_.initial * static_cast<double>(1 << doublings));
  const double unit = static_cast<double>(NextRandom(&state_) >> 11) * 0x1.0p-53;
  return full * (0.5 + 0.5 * unit);
}

}  // namespace topiary
