#include "worker/kernels/dropout_mask.h"

#include <algorithm>
#include <array>

#include "common/check.h"
#include "common/random.h"

namespace topiary {
namespace {

uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

void DropoutFactors(const DropoutParameters& parameters, int64_t first, absl::Span<float> factors) {
  CHECK_EQ(first % 4, 0);
  const uint64_t step = parameters.scalars == nullptr ? 0 : parameters.scalars->step;
  // The node moves the key by an odd constant, as the index of a stream does in Random.
  const uint64_t key64 = parameters.seed + uint64_t{0x9E3779B97F4A7C15} * (parameters.node + 1);
  const std::array<uint32_t, 2> key = {Low(key64), High(key64)};
  const uint64_t threshold = static_cast<uint64_t>(static_cast<double>(parameters.ratio) * 0x1p32);
  const float kept = 1.0f / (1.0f - parameters.ratio);
  const int64_t count = static_cast<int64_t>(factors.size());
  for (int64_t i = 0; i < count; i += 4) {
    // A counter is 32 bits wide; a tensor of 2^34 elements is past every limit on sizes.
    const uint32_t counter = static_cast<uint32_t>((first + i) / 4);
    const std::array<uint32_t, 4> words =
        Philox4x32({counter, Low(kStreamDropout), Low(step), High(step)}, key);
    for (int64_t j = 0; j < std::min<int64_t>(4, count - i); ++j) {
      factors[i + j] = words[j] >= threshold ? kept : 0.0f;
    }
  }
}

}  // namespace topiary
