#include "worker/kernels/cpu/simd_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "worker/kernels/simd/simd_test_util.h"

namespace topiary {
namespace {

class SimdKernelsTest : public testing::TestWithParam<CpuIsa> {
 protected:
  const SimdKernels& simd_ = SimdKernelsFor(GetParam());
};

TEST_P(SimdKernelsTest, ComesFromTheAskedInstructionSet) { EXPECT_EQ(simd_.isa, GetParam()); }

struct UnaryCase {
  std::string name;
  UnaryParameters f;
  std::function<double(double)> forward;
  // y: the output, or the input where DifferentiatesFromSource().
  std::function<double(double y, double d)> backward;
};

// The share of a standard normal variable below x.
double Distribution(double x) { return (1 + std::erf(x / M_SQRT2)) / 2; }

std::vector<UnaryCase> UnaryCases() {
  using F = UnaryFunction;
  return {
      {"Relu",
       {F::kRelu, 0, 0},
       [](double x) { return std::max(x, 0.0); },
       [](double y, double d) { return y > 0 ? d : 0; }},
      {"LeakyRelu",
       {F::kLeakyRelu, 0.1f, 0},
       [](double x) { return x > 0 ? x : 0.1f * x; },
       [](double y, double d) { return y > 0 ? d : 0.1f * d; }},
      {"Sigmoid",
       {F::kSigmoid, 0, 0},
       [](double x) { return 1 / (1 + std::exp(-x)); },
       [](double y, double d) { return d * y * (1 - y); }},
      {"Tanh",
       {F::kTanh, 0, 0},
       [](double x) { return std::tanh(x); },
       [](double y, double d) { return d * (1 - y * y); }},
      {"Clip",
       {F::kClip, -0.5f, 1},
       [](double x) { return std::min(1.0, std::max(-0.5, x)); },
       [](double y, double d) { return y > -0.5 && y < 1 ? d : 0; }},
      {"Linear",
       {F::kLinear, 3, -2},
       [](double x) { return 3 * x - 2; },
       [](double, double d) { return 3 * d; }},
      {"Erf",
       {F::kErf, 0, 0},
       [](double x) { return std::erf(x); },
       [](double x, double d) { return d * 2 / std::sqrt(M_PI) * std::exp(-x * x); }},
      {"Gelu",
       {F::kGelu, 0, 0},
       [](double x) { return x * Distribution(x); },
       [](double x, double d) {
         return d * (Distribution(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI));
       }},
  };
}

class SimdUnaryTest : public testing::TestWithParam<std::tuple<CpuIsa, UnaryCase>> {
 protected:
  const SimdKernels& simd_ = SimdKernelsFor(std::get<0>(GetParam()));
  const UnaryCase& case_ = std::get<1>(GetParam());
};

TEST_P(SimdUnaryTest, ForwardAndBackwardAgreeWithPlainLoopsUpToTheLastElement) {
  for (const int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const GuardedFloats src(n, 1), d_dst(n, 2), dst(n), d_src(n);
    simd_.unary_forward(case_.f, n, src.data(), dst.data());
    const GuardedFloats& from = DifferentiatesFromSource(case_.f.function) ? src : dst;
    simd_.unary_backward(case_.f, n, from.data(), d_dst.data(), d_src.data());
    std::vector<double> y(n), d(n);
    for (int64_t i = 0; i < n; ++i) {
      y[i] = case_.forward(src[i]);
      d[i] = case_.backward(from[i], d_dst[i]);
    }
    ExpectNear(dst, y, 1e-6);
    ExpectNear(d_src, d, 1e-6);
  }
}

TEST_P(SimdUnaryTest, NotANumberStaysOne) {
  const GuardedFloats src(19, 1), dst(19);
  src[0] = src[18] = std::numeric_limits<float>::quiet_NaN();
  simd_.unary_forward(case_.f, 19, src.data(), dst.data());
  EXPECT_TRUE(std::isnan(dst[0]));
  EXPECT_TRUE(std::isnan(dst[18]));
}

INSTANTIATE_TEST_SUITE_P(Isa, SimdUnaryTest,
                         testing::Combine(testing::ValuesIn(IsasOfThisMachine()),
                                          testing::ValuesIn(UnaryCases())),
                         [](const auto& info) {
                           return IsaName(std::get<0>(info.param)) + std::get<1>(info.param).name;
                         });

TEST_P(SimdKernelsTest, SigmoidAndTanhSaturateWithoutOverflow) {
  const GuardedFloats src(4), dst(4);
  const float values[] = {-200, 200, -50, 50};
  std::copy(values, values + 4, src.data());
  simd_.unary_forward({UnaryFunction::kSigmoid, 0, 0}, 4, src.data(), dst.data());
  EXPECT_NEAR(dst[0], 0, 1e-30);
  EXPECT_EQ(dst[1], 1);
  simd_.unary_forward({UnaryFunction::kTanh, 0, 0}, 4, src.data(), dst.data());
  EXPECT_EQ(dst[2], -1);
  EXPECT_EQ(dst[3], 1);
}

TEST_P(SimdKernelsTest, ErfIsAccurateOverTheWholeRangeAndNeverBeyondOne) {
  const int64_t n = 12001;
  const GuardedFloats src(n), dst(n);
  for (int64_t i = 0; i < n; ++i) src[i] = -6 + 0.001f * static_cast<float>(i);
  simd_.unary_forward({UnaryFunction::kErf, 0, 0}, n, src.data(), dst.data());
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(dst[i], std::erf(static_cast<double>(src[i])), 4e-7) << src[i];
    EXPECT_LE(std::fabs(dst[i]), 1.0f);
  }
}

TEST_P(SimdKernelsTest, BinaryFunctionsRepeatAScalarOnEitherSide) {
  const auto apply = [](BinaryFunction f, double x, double y) {
    switch (f) {
      case BinaryFunction::kAdd:
        return x + y;
      case BinaryFunction::kSub:
        return x - y;
      case BinaryFunction::kMul:
        return x * y;
      default:
        return x / y;
    }
  };
  for (const auto f :
       {BinaryFunction::kAdd, BinaryFunction::kSub, BinaryFunction::kMul, BinaryFunction::kDiv}) {
    for (const int64_t n : kLengths) {
      for (const int steps : {0, 1, 2, 3}) {  // Bits: a steps, b steps.
        const int a_step = steps & 1, b_step = steps >> 1;
        const GuardedFloats a(a_step ? n : 1, 1), b(b_step ? n : 1, 2), dst(n);
        for (int64_t i = 0; i < b.size(); ++i) b[i] = std::fabs(b[i]) + 0.5f;
        simd_.binary({f, true}, n, a.data(), a_step, b.data(), b_step, dst.data());
        std::vector<double> expected(n);
        for (int64_t i = 0; i < n; ++i) {
          expected[i] = std::max(0.0, apply(f, a[i * a_step], b[i * b_step]));
        }
        ExpectNear(dst, expected, 1e-6);
      }
    }
  }
}

TEST_P(SimdKernelsTest, SumsOfMillionsLoseNoPrecision) {
  const int64_t n = 3000001;
  const GuardedFloats src(n);
  for (int64_t i = 0; i < n; ++i) src[i] = 0.1f;
  EXPECT_NEAR(simd_.sum(n, src.data()), 0.1f * static_cast<double>(n), 1e-6 * n);
  EXPECT_NEAR(simd_.sum_of_squares(n, src.data()), 0.01 * static_cast<double>(n), 1e-6 * n);
}

TEST_P(SimdKernelsTest, MaximumIsFoundAtEveryPlace) {
  for (const int64_t n : {1, 5, 16, 33}) {
    for (int64_t at = 0; at < n; ++at) {
      const GuardedFloats src(n);
      std::fill(src.data(), src.data() + n, -3.0f);
      src[at] = -1;
      EXPECT_EQ(simd_.max(n, src.data()), -1) << at << " of " << n;
    }
  }
}

TEST_P(SimdKernelsTest, ExponentialsAreAccurateOverTheWholeRange) {
  const int64_t n = 1001;
  const GuardedFloats src(n), dst(n);
  for (int64_t i = 0; i < n; ++i) src[i] = -80 + 0.16f * static_cast<float>(i);
  simd_.exp_shifted(n, src.data(), 0, dst.data());
  for (int64_t i = 0; i < n; ++i) {
    const double expected = std::exp(static_cast<double>(src[i]));
    EXPECT_NEAR(dst[i] / expected, 1, 4e-7) << src[i];
  }
}

TEST_P(SimdKernelsTest, SumOfExponentialsLeavesOutWhatIsNotThere) {
  for (const int64_t n : kLengths) {
    const GuardedFloats src(n, 3);
    double expected = 0;
    for (int64_t i = 0; i < n; ++i) expected += std::exp(static_cast<double>(src[i]) - 2);
    EXPECT_NEAR(simd_.exp_shifted(n, src.data(), 2, nullptr) / expected, 1, 1e-6) << n;
  }
}

TEST_P(SimdKernelsTest, SoftmaxIsFollowedBack) {
  for (const int64_t n : kLengths) {
    const GuardedFloats dst(n, 3), d_dst(n, 4), d_src(n);
    double product = 0;
    for (int64_t i = 0; i < n; ++i) product += static_cast<double>(dst[i]) * d_dst[i];
    std::vector<double> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = dst[i] * (d_dst[i] - product);
    simd_.softmax_backward(n, dst.data(), d_dst.data(), d_src.data());
    ExpectNear(d_src, expected, 2e-6);
    simd_.softmax_backward(n, dst.data(), d_dst.data(), d_dst.data());
    ExpectNear(d_dst, expected, 2e-6);
  }
}

// Panels of BatchNorm: channel blocks, tails, rows of many channels, single rows.
const Panel kPanels[] = {{49, 16, 16}, {5, 8, 8}, {1, 3, 3}, {9, 70, 70}, {3, 16, 40}, {2, 1, 1}};

int64_t ElementsOf(const Panel& p) { return (p.rows - 1) * p.stride + p.width; }

// Calls body(row offset + column, column) for each element.
void ForEachElement(const Panel& p, const std::function<void(int64_t, int64_t)>& body) {
  for (int64_t row = 0; row < p.rows; ++row) {
    for (int64_t column = 0; column < p.width; ++column) body(row * p.stride + column, column);
  }
}

TEST_P(SimdKernelsTest, MomentsAreSummedAroundTheShift) {
  for (const Panel& p : kPanels) {
    const GuardedFloats src(ElementsOf(p), 1), shift(p.width, 2), sums(p.width), squares(p.width);
    for (int64_t c = 0; c < p.width; ++c) sums[c] = 1;  // Added to.
    simd_.norm_moments(p, src.data(), shift.data(), sums.data(), squares.data());
    std::vector<double> s(p.width, 1.0), q(p.width, 0.0);
    ForEachElement(p, [&](int64_t i, int64_t c) {
      const double x = static_cast<double>(src[i]) - shift[c];
      s[c] += x;
      q[c] += x * x;
    });
    ExpectNear(sums, s, 1e-5);
    ExpectNear(squares, q, 1e-5);
  }
}

TEST_P(SimdKernelsTest, ColumnsAreAddedToTheTotals) {
  for (const Panel& p : kPanels) {
    const GuardedFloats src(ElementsOf(p), 1), totals(p.width, 2);
    std::vector<double> expected;
    for (const float x : totals.Copy()) expected.push_back(x);
    ForEachElement(p, [&](int64_t i, int64_t c) { expected[c] += src[i]; });
    simd_.add_columns(p, src.data(), totals.data());
    ExpectNear(totals, expected, 1e-5);
  }
}

TEST_P(SimdKernelsTest, NormalizationAddsTheResidualBeforeRelu) {
  for (const Panel& p : kPanels) {
    for (const bool relu : {false, true}) {
      for (const bool with_residual : {false, true}) {
        const int64_t n = ElementsOf(p);
        const GuardedFloats src(n, 1), factor(p.width, 2), offset(p.width, 3), residual(n, 4),
            dst(n);
        simd_.norm_apply(p, src.data(), factor.data(), offset.data(),
                         with_residual ? residual.data() : nullptr, relu, dst.data());
        std::vector<double> expected(n, 0.0);  // Between the rows nothing is written.
        ForEachElement(p, [&](int64_t i, int64_t c) {
          double y = static_cast<double>(src[i]) * factor[c] + offset[c];
          if (with_residual) y += residual[i];
          expected[i] = relu ? std::max(0.0, y) : y;
        });
        ExpectNear(dst, expected, 1e-6);
      }
    }
  }
}

TEST_P(SimdKernelsTest, GradientOfNormalizationIsMaskedAndSummed) {
  for (const Panel& p : kPanels) {
    for (const int options : {0, 1, 2, 3, 4, 5, 6, 7}) {  // Bits: relu, second gradient, store.
      const int64_t n = ElementsOf(p);
      const GuardedFloats src(n, 1), dst(n, 2), d1(n, 3), d2(n, 4), mean(p.width, 5),
          factor(p.width, 6), slope(p.width, 7), offset(p.width, 8), sums(p.width),
          products(p.width), gradient(n), d_src(n);
      const NormGradient g = {options & 1 ? dst.data() : nullptr, d1.data(),
                              options & 2 ? d2.data() : nullptr};
      simd_.norm_backward_sums(p, src.data(), g, mean.data(), sums.data(), products.data(),
                               options & 4 ? gradient.data() : nullptr);
      simd_.norm_backward_apply(p, src.data(), g, mean.data(), factor.data(), slope.data(),
                                offset.data(), d_src.data());
      std::vector<double> s(p.width, 0.0), q(p.width, 0.0), stored(n, 0.0), result(n, 0.0);
      ForEachElement(p, [&](int64_t i, int64_t c) {
        double d = d1[i];
        if (options & 2) d += d2[i];
        if ((options & 1) && dst[i] <= 0) d = 0;
        const double x = static_cast<double>(src[i]) - mean[c];
        s[c] += d;
        q[c] += d * x;
        if (options & 4) stored[i] = d;
        result[i] = d * factor[c] + x * slope[c] + offset[c];
      });
      ExpectNear(sums, s, 1e-5);
      ExpectNear(products, q, 1e-5);
      ExpectNear(gradient, stored, 1e-6);
      ExpectNear(d_src, result, 1e-6);
    }
  }
}

TEST_P(SimdKernelsTest, SgdWithoutRunsIsPyTorchsFormula) {
  for (const int64_t n : kLengths) {
    for (const bool nesterov : {false, true}) {
      const GuardedFloats value(n, 1), gradient(n, 2), momentum(n, 3);
      std::vector<double> w(n), m(n);
      for (int64_t i = 0; i < n; ++i) {
        const double g = 0.5 * gradient[i] + 0.01f * value[i];
        m[i] = 0.9f * momentum[i] + g;
        w[i] = value[i] - 0.1f * (nesterov ? g + 0.9f * m[i] : m[i]);
      }
      simd_.sgd({0.1f, 0.5f, 0.9f, nesterov, 0.01f}, nullptr, n, value.data(), gradient.data(),
                momentum.data());
      ExpectNear(value, w, 1e-6);
      ExpectNear(momentum, m, 1e-6);
    }
  }
}

// Runs of every shape over 200 elements: long, short, single, strided, over several blocks; blocks
// that occur again.
std::vector<BlockRun> SomeRuns() {
  return {{0, 37, 1, 0},  {37, 1, 1, 1},   {38, 16, 1, 2},    {54, 10, 3, 3},    {55, 10, 3, 0},
          {56, 10, 3, 4}, {84, 100, 1, 1}, {184, 5, 1, 0, 1}, {189, 2, 3, 1, 2}, {190, 3, 3, 0, 2},
          {191, 3, 3, 4}, {195, 1, 1, 2},  {198, 2, 1, 4}};
}
constexpr int64_t kRunElements = 200;

std::vector<int> BlockOfElement() {
  std::vector<int> block(kRunElements, -1);
  for (const BlockRun& run : SomeRuns()) {
    for (int i = 0; i < run.length; ++i) block[run.At(i)] = static_cast<int>(run.BlockOf(i));
  }
  return block;
}

TEST_P(SimdKernelsTest, ElementsOfScaleZeroAreLeftAloneByTheOptimizers) {
  for (const int64_t n : kLengths) {
    const GuardedFloats scale(n), value(n, 1), gradient(n, 2), first(n, 3), second(n, 4), sums(n);
    const float scales[] = {0, 1, 2, 0, 0.5f};
    for (int64_t i = 0; i < n; ++i) {
      scale[i] = scales[i / 3 % 5];
      second[i] = std::fabs(second[i]);
    }
    const std::vector<float> old_value = value.Copy(), old_first = first.Copy();
    const BlockStep with_sums = {scale.data(), true, sums.data()};
    simd_.sgd({0.1f, 1, 0.9f, false, 0}, &with_sums, n, value.data(), gradient.data(),
              first.data());
    for (int64_t i = 0; i < n; ++i) {
      const float s = scale[i];
      const float m = s == 0 ? old_first[i] : 0.9f * old_first[i] + s * gradient[i];
      EXPECT_NEAR(first[i], m, 1e-6) << i;
      EXPECT_NEAR(value[i], s == 0 ? old_value[i] : old_value[i] - 0.1f * m, 1e-6) << i;
      EXPECT_NEAR(sums[i], old_value[i] * gradient[i], 1e-6) << i;
    }

    const std::vector<float> before = value.Copy(), second_before = second.Copy();
    const AdamStep adam = {0.1f, 1, 0.9f, 0.999f, 1e-8f, 0.1f, true, 0.5f, 0.5f};
    const BlockStep without_sums = {scale.data(), true, nullptr};
    simd_.adam(adam, &without_sums, n, value.data(), gradient.data(), first.data(), second.data());
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(value[i] == before[i], scale[i] == 0) << i;
      EXPECT_EQ(second[i] == second_before[i], scale[i] == 0) << i;
    }
  }
}

TEST_P(SimdKernelsTest, ScalesReachEveryElementOfTheirRuns) {
  const std::vector<BlockRun> runs = SomeRuns();
  const std::vector<int> block = BlockOfElement();
  const GuardedFloats scale(5, 1);
  // All runs, among them strided ones, and the first three, which are dense.
  for (const auto& [count, elements] : {std::pair<int64_t, int64_t>{13, 200}, {3, 54}}) {
    const GuardedFloats dst(elements + kExpandSlack);
    EXPECT_FALSE(simd_.expand_scales(runs.data(), count, scale.data(), 0, dst.data()));
    for (int64_t i = 0; i < elements; ++i) EXPECT_EQ(dst[i], scale[block[i]]) << i;
    const float kept = scale[2];
    scale[2] = 0;
    EXPECT_TRUE(simd_.expand_scales(runs.data(), count, scale.data(), 0, dst.data()));
    scale[2] = kept;
  }
}

TEST_P(SimdKernelsTest, ProductsAreAddedElementByElement) {
  for (const int64_t n : kLengths) {
    const GuardedFloats a(n, 1), b(n, 2), sums(n, 3);
    std::vector<double> expected(n);
    for (int64_t i = 0; i < n; ++i) expected[i] = sums[i] + static_cast<double>(a[i]) * b[i];
    simd_.add_products(n, a.data(), b.data(), sums.data());
    ExpectNear(sums, expected, 1e-6);
  }
}

TEST_P(SimdKernelsTest, RunsAreSummedPerBlock) {
  const std::vector<BlockRun> runs = SomeRuns();
  const GuardedFloats src(kRunElements, 2), totals(5);
  simd_.sum_runs(runs.data(), static_cast<int64_t>(runs.size()), 0, src.data(), totals.data());
  std::vector<double> expected(5);
  const std::vector<int> block = BlockOfElement();
  for (int64_t i = 0; i < kRunElements; ++i) expected[block[i]] += src[i];
  ExpectNear(totals, expected, 1e-5);
}

TEST_P(SimdKernelsTest, AdamIsPyTorchsFormula) {
  for (const bool decoupled : {false, true}) {
    const int64_t n = 37;
    const GuardedFloats value(n, 1), gradient(n, 2), first(n, 3), second(n, 4);
    std::vector<double> w(n), m(n), v(n);
    const AdamStep step = {0.01f, 2, 0.9f, 0.99f, 1e-3f, 0.1f, decoupled, 0.3f, 0.2f};
    for (int64_t i = 0; i < n; ++i) {
      second[i] = std::fabs(second[i]);
      double g = 2 * gradient[i], x = value[i];
      if (decoupled) {
        x -= 0.01 * 0.1 * x;
      } else {
        g += 0.1 * x;
      }
      m[i] = 0.9 * first[i] + 0.1 * g;
      v[i] = 0.99 * second[i] + 0.01 * g * g;
      w[i] = x - 0.01 * (m[i] / 0.3) / (std::sqrt(v[i] / 0.2) + 1e-3);
    }
    simd_.adam(step, nullptr, n, value.data(), gradient.data(), first.data(), second.data());
    ExpectNear(value, w, 1e-6);
    ExpectNear(first, m, 1e-6);
    ExpectNear(second, v, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SimdKernelsTest, testing::ValuesIn(IsasOfThisMachine()),
                         [](const auto& info) { return IsaName(info.param); });

}  // namespace
}  // namespace topiary
