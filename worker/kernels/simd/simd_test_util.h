// What the tests of inner loops share. Tests only.
#ifndef TOPIARY_WORKER_KERNELS_SIMD_SIMD_TEST_UTIL_H_
#define TOPIARY_WORKER_KERNELS_SIMD_SIMD_TEST_UTIL_H_

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "common/random.h"
#include "worker/kernels/simd/cpu_isa.h"

namespace topiary {

// Floats that end where an inaccessible page begins: a read or write past them crashes.
class GuardedFloats {
 public:
  explicit GuardedFloats(int64_t n) : n_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (static_cast<size_t>(n) * sizeof(float) + page - 1) / page * page;
    mapped_ = bytes + page;
    base_ = static_cast<char*>(
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT_NE(base_, MAP_FAILED);
    EXPECT_EQ(mprotect(base_ + bytes, page, PROT_NONE), 0);
    data_ = reinterpret_cast<float*>(base_ + bytes) - n;
  }
  GuardedFloats(int64_t n, uint64_t stream) : GuardedFloats(n) {
    Random random(7, kStreamTest, stream);
    for (int64_t i = 0; i < n; ++i) data_[i] = random.Normal();
  }
  GuardedFloats(const GuardedFloats&) = delete;
  GuardedFloats& operator=(const GuardedFloats&) = delete;
  ~GuardedFloats() { munmap(base_, mapped_); }

  float* data() const { return data_; }
  float& operator[](int64_t i) const { return data_[i]; }
  int64_t size() const { return n_; }
  std::vector<float> Copy() const { return std::vector<float>(data_, data_ + n_); }

 private:
  int64_t n_;
  size_t mapped_;
  char* base_;
  float* data_;
};

// tolerance: relative to the largest of `expected`.
inline void ExpectNear(const GuardedFloats& actual, const std::vector<double>& expected,
                       double tolerance) {
  double largest = 1e-30;
  for (const double x : expected) largest = std::max(largest, std::fabs(x));
  for (int64_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], tolerance * largest) << "element " << i;
  }
}

inline std::vector<CpuIsa> IsasOfThisMachine() {
  std::vector<CpuIsa> isas = {CpuIsa::kPortable};
  if (DetectedIsa() >= CpuIsa::kAvx2) isas.push_back(CpuIsa::kAvx2);
  if (DetectedIsa() >= CpuIsa::kAvx512) isas.push_back(CpuIsa::kAvx512);
  return isas;
}

inline std::string IsaName(CpuIsa isa) {
  return isa == CpuIsa::kPortable ? "Portable" : isa == CpuIsa::kAvx2 ? "Avx2" : "Avx512";
}

// Lengths around the widths of vectors, of unrolled loops and of chunks.
inline constexpr int64_t kLengths[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 65, 4096 + 13};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_SIMD_SIMD_TEST_UTIL_H_
