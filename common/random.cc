#include "common/random.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"

namespace topiary {
namespace {

constexpr double kTwoPi = 6.283185307179586476925286766559;

uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {High(b) ^ counter[1] ^ key[0], Low(b), High(a) ^ counter[3] ^ key[1], Low(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Random::Random(uint64_t seed, uint64_t stream, uint64_t step)
    : counter_{0, Low(stream), Low(step), High(step)} {
  // A stream's index, in its high half, moves the key: the counter has no room left for it.
  const uint64_t key = seed + uint64_t{0x9E3779B97F4A7C15} * High(stream);
  key_ = {Low(key), High(key)};
}

uint64_t Random::Next() {
  if (!second_half_) {
    block_ = Philox4x32(counter_, key_);
    ++counter_[0];
  }
  const size_t first = second_half_ ? 2 : 0;
  second_half_ = !second_half_;
  return block_[first] | (uint64_t{block_[first + 1]} << 32);
}

uint64_t Random::Below(uint64_t n) {
  CHECK_GE(n, 1u);
  const uint64_t surplus = (~n + 1) % n;  // 2^64 mod n: that many values would be drawn once more.
  while (true) {
    const uint64_t draw = Next();
    if (draw >= surplus) return draw % n;
  }
}

double Random::Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

float Random::Normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));  // 1 - u is in (0, 1].
  return static_cast<float>(radius * std::cos(kTwoPi * Uniform()));
}

std::vector<uint32_t> Permutation(uint64_t seed, uint64_t stream, uint64_t step, uint32_t n) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  Random random(seed, stream, step);
  for (uint32_t i = n; i > 1; --i) {
    std::swap(order[i - 1], order[random.Below(i)]);
  }
  return order;
}

}  // namespace topiary
