#include <gtest/gtest.h>

#include <vector>

#include "worker/kernels/cpu/simd_kernels.h"
#include "worker/kernels/simd/simd_test_util.h"

namespace topiary {
namespace {

class SimdLayerNormTest : public testing::TestWithParam<CpuIsa> {
 protected:
  const SimdKernels& simd_ = SimdKernelsFor(GetParam());
};

TEST_P(SimdLayerNormTest, DistancesAreSquaredAndSummed) {
  for (const int64_t n : kLengths) {
    const GuardedFloats src(n, 1);
    double expected = 0;
    for (const float x : src.Copy()) expected += (double{x} - 5) * (double{x} - 5);
    EXPECT_NEAR(simd_.sum_of_squared_distances(n, src.data(), 5) / expected, 1, 1e-6) << n;
  }
}

TEST_P(SimdLayerNormTest, ARowIsNormalizedScaledAndMovedUpToItsLastElement) {
  for (const int64_t n : kLengths) {
    const GuardedFloats src(n, 1), scale(n, 2), bias(n, 3), dst(n);
    const LayerNormRow row{n, src.data(), 0.25f, 1.5f, scale.data()};
    for (const bool has_bias : {false, true}) {
      simd_.layer_norm_apply(row, has_bias ? bias.data() : nullptr, dst.data());
      std::vector<double> expected;
      for (int64_t i = 0; i < n; ++i) {
        expected.push_back((src[i] - 0.25) * 1.5 * scale[i] + (has_bias ? bias[i] : 0.0f));
      }
      ExpectNear(dst, expected, 1e-6);
    }
  }
}

TEST_P(SimdLayerNormTest, GradientsAreSummedAlongAndAcrossTheRow) {
  for (const int64_t n : kLengths) {
    const GuardedFloats src(n, 1), scale(n, 2), d_dst(n, 3), d_scale(n, 4), d_bias(n, 5), d_src(n);
    const LayerNormRow row{n, src.data(), 0.25f, 1.5f, scale.data()};
    std::vector<double> scales, biases, sources;
    double gradient = 0, product = 0, magnitude = 1;
    for (int64_t i = 0; i < n; ++i) {
      const double x = (src[i] - 0.25) * 1.5, d_x = double{d_dst[i]} * scale[i];
      gradient += d_x;
      product += d_x * x;
      magnitude += std::fabs(d_x) + std::fabs(d_x * x);
      scales.push_back(d_scale[i] + d_dst[i] * x);
      biases.push_back(double{d_bias[i]} + d_dst[i]);
      sources.push_back(1.5 * (d_x - 0.5 - x * 0.75));
    }
    const LayerNormSums sums =
        simd_.layer_norm_backward_sums(row, d_dst.data(), d_scale.data(), d_bias.data());
    EXPECT_NEAR(sums.gradient, gradient, 1e-6 * magnitude) << n;
    EXPECT_NEAR(sums.product, product, 1e-6 * magnitude) << n;
    ExpectNear(d_scale, scales, 1e-6);
    ExpectNear(d_bias, biases, 1e-6);
    simd_.layer_norm_backward_apply(row, d_dst.data(), 0.5f, 0.75f, d_src.data());
    ExpectNear(d_src, sources, 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SimdLayerNormTest, testing::ValuesIn(IsasOfThisMachine()),
                         [](const auto& info) { return IsaName(info.param); });

}  // namespace
}  // namespace topiary
