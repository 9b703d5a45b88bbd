#include "worker/kernels/blocksparse/block_sparse_convolution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/kernels/simd/simd_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

struct Case {
  const char* name;
  int64_t batch;
  int64_t groups;
  int64_t src_channels;
  int64_t dst_channels;
  ConvolutionAxis height;  // dst and pad end are reckoned.
  ConvolutionAxis width;
  int64_t pad_end;
  int64_t block_rows;
  int64_t block_cols;
  double density;
};

ConvolutionAxis Axis(int64_t src, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad) {
  return {src, 0, kernel, stride, dilation, pad};
}

std::vector<Case> Cases() {
  const ConvolutionAxis one = Axis(1, 1, 1, 1, 0);
  return {
      {"ThreeByThree", 2, 1, 32, 64, Axis(9, 3, 1, 1, 1), Axis(7, 3, 1, 1, 1), 1, 32, 32, 0.4},
      {"OneByOne", 2, 1, 64, 48, Axis(5, 1, 1, 1, 0), Axis(7, 1, 1, 1, 0), 0, 16, 16, 0.4},
      {"OneByOneStrided", 2, 1, 32, 32, Axis(9, 1, 2, 1, 0), Axis(8, 1, 2, 1, 0), 0, 16, 16, 0.5},
      {"Strided", 3, 1, 16, 40, Axis(11, 3, 2, 1, 1), Axis(12, 3, 2, 1, 1), 1, 16, 8, 0.5},
      {"StrideBeyondTheKernel", 2, 1, 8, 8, Axis(10, 2, 3, 1, 1), Axis(11, 2, 3, 1, 0), 0, 4, 4,
       0.6},
      {"StrideBeyondTheImage", 1, 1, 8, 16, Axis(2, 3, 4, 1, 1), Axis(2, 3, 4, 1, 1), 1, 8, 16,
       0.7},
      {"Dilated", 2, 1, 24, 20, Axis(12, 3, 1, 2, 2), Axis(13, 3, 1, 3, 3), 3, 8, 4, 0.4},
      {"AsymmetricPads", 2, 1, 8, 16, Axis(8, 4, 2, 1, 0), Axis(9, 3, 1, 1, 2), 3, 8, 8, 0.5},
      {"Grouped", 2, 2, 32, 64, Axis(6, 3, 1, 1, 1), Axis(6, 3, 1, 1, 1), 1, 16, 32, 0.5},
      {"GroupsOfFewChannels", 2, 4, 12, 20, Axis(7, 3, 1, 1, 1), Axis(5, 3, 2, 1, 1), 1, 4, 2, 0.5},
      {"BlocksOverSeveralTaps", 2, 1, 6, 24, Axis(7, 3, 1, 1, 1), Axis(7, 3, 1, 1, 1), 1, 16, 24,
       0.5},
      {"RaggedBlocks", 1, 1, 20, 37, Axis(6, 3, 1, 1, 1), Axis(6, 2, 1, 1, 0), 0, 16, 16, 0.5},
      {"WholeKernelInABlock", 2, 1, 4, 16, Axis(6, 2, 1, 1, 0), Axis(6, 2, 1, 1, 0), 0, 64, 16,
       0.9},
      {"OneColumn", 2, 1, 16, 24, Axis(6, 3, 1, 1, 1), Axis(6, 3, 1, 1, 1), 1, 8, 1, 0.4},
      {"OneRow", 2, 1, 16, 24, Axis(6, 3, 1, 1, 1), Axis(6, 3, 1, 1, 1), 1, 1, 8, 0.4},
      {"FewPixels", 1, 1, 32, 64, Axis(2, 3, 1, 1, 1), Axis(2, 3, 1, 1, 1), 1, 16, 16, 0.5},
      {"OnePixel", 1, 1, 8, 16, Axis(3, 3, 1, 1, 0), Axis(3, 3, 1, 1, 0), 0, 4, 4, 0.5},
      {"OneAxis", 3, 1, 16, 24, one, Axis(30, 5, 2, 1, 2), 1, 8, 8, 0.5},
      {"NothingKept", 1, 1, 16, 16, Axis(4, 3, 1, 1, 1), Axis(4, 3, 1, 1, 1), 1, 16, 16, 0},
      {"EverythingKept", 2, 1, 32, 32, Axis(14, 3, 1, 1, 1), Axis(14, 3, 1, 1, 1), 1, 32, 32, 1},
  };
}

// The convolution of a case, with weights that are NaN where they are pruned: whoever reads those
// shows it.
struct Convolution {
  explicit Convolution(const Case& c) {
    shape.batch = c.batch;
    shape.groups = c.groups;
    shape.src_channels = c.src_channels;
    shape.dst_channels = c.dst_channels;
    shape.height = c.height;
    shape.width = c.width;
    for (ConvolutionAxis* axis : {&shape.height, &shape.width}) {
      const int64_t pad_end = axis->kernel == 1 ? 0 : c.pad_end;
      const int64_t span = (axis->kernel - 1) * axis->dilation + 1;
      axis->dst = (axis->src + axis->pad + pad_end - span) / axis->stride + 1;
    }
    channels = c.src_channels / c.groups;
    const int64_t rows = shape.taps() * channels, cols = c.dst_channels / c.groups;
    const int64_t down = (rows - 1) / std::min(rows, c.block_rows) + 1;
    const int64_t across = (cols - 1) / std::min(cols, c.block_cols) + 1;
    Random random(11, kStreamTest, static_cast<uint64_t>(c.src_channels + c.block_cols));
    std::vector<uint8_t> kept(c.groups * down * across);
    for (uint8_t& k : kept) k = random.Below(1000) < c.density * 1000 ? 1 : 0;
    pattern = *BlockSparsePattern::Create(rows, cols, c.block_rows, c.block_cols, kept, c.groups);
    weights.resize(pattern.elements());
    for (int64_t m = 0; m < c.dst_channels; ++m) {
      for (int64_t k = 0; k < rows; ++k) {
        const float value = random.Normal();
        const bool live = pattern.Keeps(k, m % cols, m / cols);
        weights[WeightOf(m, k % channels, k / channels)] =
            live ? value : std::numeric_limits<float>::quiet_NaN();
      }
    }
  }

  int64_t WeightOf(int64_t dst_channel, int64_t channel, int64_t tap) const {
    return (dst_channel * channels + channel) * shape.taps() + tap;
  }
  int64_t src_size() const {
    return shape.batch * shape.height.src * shape.width.src * shape.src_channels;
  }
  int64_t dst_size() const {
    return shape.batch * shape.height.dst * shape.width.dst * shape.dst_channels;
  }

  // Calls visit(src, weight, dst) with the places of the operands of each product.
  template <typename Visit>
  void ForEachProduct(Visit visit) const {
    const ConvolutionAxis &h = shape.height, &w = shape.width;
    const int64_t per_group = shape.dst_channels / shape.groups;
    for (int64_t n = 0; n < shape.batch; ++n) {
      for (int64_t pixel = 0; pixel < h.dst * w.dst; ++pixel) {
        for (int64_t tap = 0; tap < shape.taps(); ++tap) {
          const int64_t y = pixel / w.dst * h.stride + tap / w.kernel * h.dilation - h.pad;
          const int64_t x = pixel % w.dst * w.stride + tap % w.kernel * w.dilation - w.pad;
          if (y < 0 || y >= h.src || x < 0 || x >= w.src) continue;
          const int64_t src = ((n * h.src + y) * w.src + x) * shape.src_channels;
          const int64_t dst = (n * h.dst * w.dst + pixel) * shape.dst_channels;
          for (int64_t m = 0; m < shape.dst_channels; ++m) {
            for (int64_t c = 0; c < channels; ++c) {
              visit(src + m / per_group * channels + c, WeightOf(m, c, tap), dst + m);
            }
          }
        }
      }
    }
  }

  ConvolutionShape shape;
  int64_t channels;  // Of src, of a group.
  BlockSparsePattern pattern;
  std::vector<float> weights;
};

// Packs and runs, in memory that ends where it should and holds NaN before.
void RunPlan(const BlockSparseConvolution& plan, const Convolution& c, const GuardedFloats& x,
             const float* bias, bool relu, const GuardedFloats& y) {
  const GuardedFloats packed(plan.packed_floats()), scratch(plan.scratch_floats());
  for (const GuardedFloats* memory : {&packed, &scratch, &y}) {
    std::fill_n(memory->data(), memory->size(), std::numeric_limits<float>::quiet_NaN());
  }
  plan.Pack(c.weights.data(), packed.data());
  plan.Run(x.data(), packed.data(), bias, relu, scratch.data(), y.data());
}

// Into memory that holds -7 before.
void RunGradient(const BlockSparseKernelGradient& plan, const GuardedFloats& src,
                 const GuardedFloats& d_dst, const GuardedFloats& d_weights) {
  const GuardedFloats scratch(plan.scratch_floats());
  std::fill_n(scratch.data(), scratch.size(), std::numeric_limits<float>::quiet_NaN());
  std::fill_n(d_weights.data(), d_weights.size(), -7.0f);
  plan.Run(src.data(), d_dst.data(), d_weights.data(), scratch.data());
}

double OrZero(float x) { return std::isnan(x) ? 0 : x; }

using Parameters = std::tuple<CpuIsa, int, int>;  // Instruction set, threads, case.

class BlockSparseConvolutions : public testing::TestWithParam<Parameters> {
 protected:
  CpuIsa isa() const { return std::get<0>(GetParam()); }
  int threads() const { return std::get<1>(GetParam()); }
  const Convolution c_{Cases()[std::get<2>(GetParam())]};
};

TEST_P(BlockSparseConvolutions, ConvolveLikeTheDenseWeights) {
  const GuardedFloats src(c_.src_size(), 1), bias(c_.shape.dst_channels, 2);
  const GuardedFloats dst(c_.dst_size()), rectified(c_.dst_size());
  ASSERT_OK_AND_ASSIGN(const auto plan,
                       BlockSparseConvolution::Forward(c_.pattern, c_.shape, isa(), threads()));
  RunPlan(plan, c_, src, nullptr, false, dst);
  RunPlan(plan, c_, src, bias.data(), true, rectified);
  std::vector<double> sums(c_.dst_size(), 0.0);
  c_.ForEachProduct(
      [&](int64_t s, int64_t w, int64_t d) { sums[d] += src[s] * OrZero(c_.weights[w]); });
  ExpectNear(dst, sums, 1e-5);
  for (size_t i = 0; i < sums.size(); ++i) {
    sums[i] = std::max(0.0, sums[i] + bias[static_cast<int64_t>(i) % c_.shape.dst_channels]);
  }
  ExpectNear(rectified, sums, 1e-5);
}

TEST_P(BlockSparseConvolutions, GiveTheGradientOfTheData) {
  const GuardedFloats d_dst(c_.dst_size(), 3), d_src(c_.src_size());
  ASSERT_OK_AND_ASSIGN(const auto plan, BlockSparseConvolution::DataGradient(c_.pattern, c_.shape,
                                                                             isa(), threads()));
  RunPlan(plan, c_, d_dst, nullptr, false, d_src);
  std::vector<double> sums(c_.src_size(), 0.0);
  c_.ForEachProduct(
      [&](int64_t s, int64_t w, int64_t d) { sums[s] += d_dst[d] * OrZero(c_.weights[w]); });
  ExpectNear(d_src, sums, 1e-5);
}

TEST_P(BlockSparseConvolutions, GiveTheGradientOfKeptBlocksOnly) {
  const GuardedFloats src(c_.src_size(), 1), d_dst(c_.dst_size(), 3);
  const GuardedFloats d_weights(static_cast<int64_t>(c_.weights.size()));
  ASSERT_OK_AND_ASSIGN(const auto plan,
                       BlockSparseKernelGradient::Create(c_.pattern, c_.shape, isa(), threads()));
  RunGradient(plan, src, d_dst, d_weights);
  std::vector<double> sums(c_.weights.size(), 0.0);
  c_.ForEachProduct([&](int64_t s, int64_t w, int64_t d) { sums[w] += src[s] * d_dst[d]; });
  for (size_t i = 0; i < sums.size(); ++i) {
    if (std::isnan(c_.weights[i])) sums[i] = -7;
  }
  ExpectNear(d_weights, sums, 1e-5);
}

TEST_P(BlockSparseConvolutions, RepeatTheirBits) {
  const GuardedFloats src(c_.src_size(), 1), d_dst(c_.dst_size(), 3);
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 2; ++run) {
    const GuardedFloats dst(c_.dst_size()), d_src(c_.src_size());
    ASSERT_OK_AND_ASSIGN(const auto forward,
                         BlockSparseConvolution::Forward(c_.pattern, c_.shape, isa(), threads()));
    ASSERT_OK_AND_ASSIGN(const auto backward, BlockSparseConvolution::DataGradient(
                                                  c_.pattern, c_.shape, isa(), threads()));
    RunPlan(forward, c_, src, nullptr, false, dst);
    RunPlan(backward, c_, d_dst, nullptr, false, d_src);
    const GuardedFloats d_weights(static_cast<int64_t>(c_.weights.size()));
    ASSERT_OK_AND_ASSIGN(const auto gradient,
                         BlockSparseKernelGradient::Create(c_.pattern, c_.shape, isa(), threads()));
    RunGradient(gradient, src, d_dst, d_weights);
    results.push_back(dst.Copy());
    for (const GuardedFloats* more : {&d_src, &d_weights}) {
      results.back().insert(results.back().end(), more->data(), more->data() + more->size());
    }
  }
  EXPECT_EQ(results[0], results[1]);
}

std::vector<Parameters> AllParameters() {
  std::vector<Parameters> all;
  for (const CpuIsa isa : IsasOfThisMachine()) {
    for (const int threads : {1, 2}) {
      for (size_t i = 0; i < Cases().size(); ++i) all.emplace_back(isa, threads, i);
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, BlockSparseConvolutions, testing::ValuesIn(AllParameters()),
                         [](const testing::TestParamInfo<Parameters>& info) {
                           return absl::StrCat(IsaName(std::get<0>(info.param)), "_",
                                               std::get<1>(info.param), "Threads_",
                                               Cases()[std::get<2>(info.param)].name);
                         });

// A run that diverged must show it.
TEST(BlockSparseConvolution, ReluKeepsNaN) {
  const Convolution c(Cases()[0]);
  const GuardedFloats src(c.src_size()), dst(c.dst_size());
  std::fill_n(src.data(), src.size(), std::numeric_limits<float>::quiet_NaN());
  ASSERT_OK_AND_ASSIGN(const auto plan,
                       BlockSparseConvolution::Forward(c.pattern, c.shape, CpuIsa::kPortable, 1));
  RunPlan(plan, c, src, nullptr, true, dst);
  EXPECT_TRUE(std::isnan(dst[0]));
}

TEST(BlockSparseConvolution, PacksAlikeForAnotherBatch) {
  const Convolution c(Cases()[0]), other(Cases()[1]);
  const auto plan = [](const Convolution& of, int64_t batch) {
    ConvolutionShape shape = of.shape;
    shape.batch = batch;
    return *BlockSparseConvolution::Forward(of.pattern, shape, CpuIsa::kPortable, 1);
  };
  EXPECT_TRUE(plan(c, 1).PacksLike(plan(c, 7)));
  EXPECT_FALSE(plan(c, 1).PacksLike(plan(other, 1)));
  EXPECT_FALSE(plan(c, 1).PacksLike(
      *BlockSparseConvolution::DataGradient(c.pattern, c.shape, CpuIsa::kPortable, 1)));
}

TEST(BlockSparseConvolution, RefusesThePatternOfAnotherWeight) {
  Convolution c(Cases()[0]);
  c.shape.dst_channels *= 2;
  EXPECT_THAT(
      BlockSparseConvolution::Forward(c.pattern, c.shape, CpuIsa::kPortable, 1).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 x 288 x 128, but the pattern")));
  c.shape.batch = 0;
  EXPECT_THAT(
      BlockSparseConvolution::DataGradient(c.pattern, c.shape, CpuIsa::kPortable, 1).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 images")));
}

}  // namespace
}  // namespace topiary
