// Vec for AVX-512 (F, DQ, VL, BW). Included only by simd_avx512.cc, which is compiled for it.
#ifndef TOPIARY_WORKER_KERNELS_SIMD_VECTOR_AVX512_H_
#define TOPIARY_WORKER_KERNELS_SIMD_VECTOR_AVX512_H_

#include <immintrin.h>

namespace topiary {
namespace simd_avx512 {

struct Vec {
  static constexpr int kLanes = 16;
  __m512 v;

  static Vec Zero() { return {_mm512_setzero_ps()}; }
  static Vec Set(float x) { return {_mm512_set1_ps(x)}; }
  static Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // The first `n` < kLanes elements; nothing beyond them is touched, the other lanes are 0.
  static Vec LoadFirst(const float* p, int n) { return {_mm512_maskz_loadu_ps(First(n), p)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StoreFirst(float* p, int n) const { _mm512_mask_storeu_ps(p, First(n), v); }

  static __mmask16 First(int n) { return static_cast<__mmask16>((1u << n) - 1); }
};

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec MulAdd(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// Where a lane is NaN the result is `b`'s lane.
inline Vec Max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec Min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec Sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
// a > b ? x : y, lane by lane; false where one is NaN.
inline Vec SelectGreater(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), y.v, x.v)};
}
inline Vec RoundToInteger(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// The sum of all lanes, in a fixed order.
inline float Total(Vec a) { return _mm512_reduce_add_ps(a.v); }
// a * 2^n for integral n in [-126, 127].
inline Vec TimesPowerOfTwo(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

}  // namespace simd_avx512
}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_SIMD_VECTOR_AVX512_H_
