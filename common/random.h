#ifndef TOPIARY_COMMON_RANDOM_H_
#define TOPIARY_COMMON_RANDOM_H_

#include <array>
#include <cstdint>
#include <vector>

namespace topiary {

// Streams of random numbers: draws of different streams are independent of each other. Numbers are
// part of the promise that a job gives the same bits again; never change or reuse one.
// The high 32 bits of a stream are free for an index, such as the number of a layer:
//   Random(seed, kStreamInitialWeights | (uint64_t{layer} << 32), 0)
inline constexpr uint64_t kStreamInitialWeights = 1;
inline constexpr uint64_t kStreamDataSplit = 2;
inline constexpr uint64_t kStreamDataShuffle = 3;
inline constexpr uint64_t kStreamDropout = 4;
inline constexpr uint64_t kStreamBatchNormReestimate = 5;
inline constexpr uint64_t kStreamAugmentation = 6;
inline constexpr uint64_t kStreamSyntheticData = 7;
inline constexpr uint64_t kStreamPruning = 8;
inline constexpr uint64_t kStreamLayerCosts = 9;
inline constexpr uint64_t kStreamFeatures = 10;
inline constexpr uint64_t kStreamSensitivity = 11;
inline constexpr uint64_t kStreamCalibration = 12;
inline constexpr uint64_t kStreamTest = 1000;

// The block function of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011): ten rounds over a counter of 128 bits with a key of 64.
std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Counter-based random numbers: the n-th draw depends on (seed, stream, step, n) and on nothing
// else, so that a resumed job draws what an undisturbed one would have drawn, wherever it starts.
// Up to 2^33 draws of 64 bits for each (seed, stream, step). Thread-compatible; cheap to make.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream, uint64_t step);

  // 64 random bits.
  uint64_t Next();

  // Uniform in [0, n), without bias. n >= 1 (CHECK).
  uint64_t Below(uint64_t n);

  // Uniform in [0, 1), a multiple of 2^-53.
  double Uniform();

  // Standard normal (Box-Muller). Always takes two draws.
  float Normal();

 private:
  std::array<uint32_t, 4> counter_;  // draw / 2, stream (low), step (low), step (high)
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> block_ = {};
  bool second_half_ = false;  // Whether the next draw is the second half of block_.
};

// The numbers 0 .. n - 1 in an order drawn from Random(seed, stream, step) (Fisher-Yates).
std::vector<uint32_t> Permutation(uint64_t seed, uint64_t stream, uint64_t step, uint32_t n);

}  // namespace topiary

#endif  // TOPIARY_COMMON_RANDOM_H_
