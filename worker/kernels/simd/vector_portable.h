// Vec in plain C++, for processors without AVX2. Included only by simd_portable.cc.
// The contract of each function is in vector_avx512.h.
#ifndef TOPIARY_WORKER_KERNELS_SIMD_VECTOR_PORTABLE_H_
#define TOPIARY_WORKER_KERNELS_SIMD_VECTOR_PORTABLE_H_

namespace topiary {
namespace simd_portable {

struct Vec {
  static constexpr int kLanes = 4;
  float v[kLanes];

  template <typename F>
  static Vec Make(F lane) {
    Vec r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = lane(i);
    return r;
  }
  static Vec Zero() { return Set(0); }
  static Vec Set(float x) {
    return Make([x](int) { return x; });
  }
  static Vec Load(const float* p) {
    return Make([p](int i) { return p[i]; });
  }
  static Vec LoadFirst(const float* p, int n) {
    return Make([p, n](int i) { return i < n ? p[i] : 0.0f; });
  }
  void Store(float* p) const { StoreFirst(p, kLanes); }
  void StoreFirst(float* p, int n) const {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
};

inline Vec operator+(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec Max(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec Min(Vec a, Vec b) {
  return Vec::Make([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec Sqrt(Vec a) {
  return Vec::Make([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
inline Vec SelectGreater(Vec a, Vec b, Vec x, Vec y) {
  return Vec::Make([&](int i) { return a.v[i] > b.v[i] ? x.v[i] : y.v[i]; });
}
inline Vec RoundToInteger(Vec a) {
  return Vec::Make([&](int i) { return __builtin_rintf(a.v[i]); });
}
inline float Total(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline Vec TimesPowerOfTwo(Vec a, Vec n) {
  return Vec::Make([&](int i) { return __builtin_ldexpf(a.v[i], static_cast<int>(n.v[i])); });
}

}  // namespace simd_portable
}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_SIMD_VECTOR_PORTABLE_H_
