#include "worker/kernels/blocksparse/block_sparse_matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  int64_t block_rows;
  int64_t block_cols;
  double density;
};

std::vector<Case> Cases() {
  return {
      {64, 64, 64, 32, 32, 0.3}, {33, 70, 90, 16, 16, 0.5},   {100, 40, 44, 8, 8, 0.4},
      {50, 36, 20, 4, 4, 0.5},   {29, 24, 24, 1, 8, 0.3},     {31, 24, 24, 8, 1, 0.3},
      {300, 37, 53, 5, 7, 0.6},  {1, 96, 96, 32, 32, 0.5},    {3, 40, 41, 4, 4, 0.5},
      {7, 129, 65, 64, 64, 0.7}, {64, 33, 130, 16, 130, 0.5}, {48, 20, 20, 3, 2, 0.0},
      {40, 17, 19, 1, 1, 0.2},   {257, 16, 48, 16, 48, 1.0},  {515, 64, 72, 32, 24, 0.5},
      {110, 21, 24, 7, 1, 0.5},  {2000, 96, 64, 32, 8, 0.3},  {26, 8, 200, 100, 100, 1.0},
      {70, 45, 600, 13, 1, 0.3}, {75, 300, 310, 16, 16, 0.8}, {40, 70, 150, 3, 1, 0.5},
  };
}

// A matrix [inputs, outputs] in blocks, NaN where they are pruned: whoever reads that shows it.
struct SparseMatrix {
  BlockSparsePattern pattern;
  std::vector<float> values;
  float at(int64_t i, int64_t j) const { return values[i * pattern.cols + j]; }
};

SparseMatrix NewMatrix(const Case& c) {
  Random random(11, kStreamTest, static_cast<uint64_t>(c.rows + c.inputs));
  const int64_t down = (c.inputs - 1) / c.block_rows + 1;
  const int64_t across = (c.outputs - 1) / c.block_cols + 1;
  std::vector<uint8_t> kept(down * across);
  for (uint8_t& k : kept) k = random.Below(1000) < c.density * 1000 ? 1 : 0;
  SparseMatrix matrix{
      *BlockSparsePattern::Create(c.inputs, c.outputs, c.block_rows, c.block_cols, kept), {}};
  for (int64_t i = 0; i < c.inputs; ++i) {
    for (int64_t j = 0; j < c.outputs; ++j) {
      const bool live = kept[i / c.block_rows * across + j / c.block_cols] != 0;
      const float value = random.Normal();
      matrix.values.push_back(live ? value : std::numeric_limits<float>::quiet_NaN());
    }
  }
  return matrix;
}

// Packs and multiplies, in memory that ends where it should and holds NaN before.
void Multiply(const BlockSparseMatMul& product, const MatrixView& weights, const float* x,
              const float* bias, bool relu, float* y) {
  const GuardedFloats packed(product.packed_floats()), scratch(product.scratch_floats());
  for (const GuardedFloats* memory : {&packed, &scratch}) {
    std::fill_n(memory->data(), memory->size(), std::numeric_limits<float>::quiet_NaN());
  }
  product.Pack(weights, 1, packed.data());
  product.Run(x, packed.data(), bias, relu, scratch.data(), y);
}

void RunGradient(const BlockSparseWeightGradient& gradient, const float* x, const float* d_y,
                 const MutableMatrixView& d_w) {
  const GuardedFloats scratch(gradient.scratch_floats());
  std::fill_n(scratch.data(), scratch.size(), std::numeric_limits<float>::quiet_NaN());
  gradient.Run(x, d_y, d_w, 1, scratch.data());
}

double OrZero(float x) { return std::isnan(x) ? 0 : x; }

using Parameters = std::tuple<CpuIsa, int, int>;  // Instruction set, threads, case.

class BlockSparseProducts : public testing::TestWithParam<Parameters> {
 protected:
  CpuIsa isa() const { return std::get<0>(GetParam()); }
  int threads() const { return std::get<1>(GetParam()); }
  const Case case_ = Cases()[std::get<2>(GetParam())];
  const SparseMatrix matrix_ = NewMatrix(case_);
};

TEST_P(BlockSparseProducts, MultiplyLikeTheDenseMatrix) {
  const int64_t rows = case_.rows, inputs = case_.inputs, outputs = case_.outputs;
  const GuardedFloats x(rows * inputs, 1), bias(outputs, 2), y(rows * outputs),
      relu(rows * outputs);
  ASSERT_OK_AND_ASSIGN(auto product,
                       BlockSparseMatMul::Create(matrix_.pattern, rows, isa(), threads()));
  const MatrixView weights = {matrix_.values.data(), outputs, 1};
  Multiply(product, weights, x.data(), nullptr, false, y.data());
  Multiply(product, weights, x.data(), bias.data(), true, relu.data());
  std::vector<double> sums(rows * outputs, 0.0), rectified(rows * outputs);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < outputs; ++j) {
      double& sum = sums[r * outputs + j];
      for (int64_t i = 0; i < inputs; ++i) sum += x[r * inputs + i] * OrZero(matrix_.at(i, j));
      rectified[r * outputs + j] = std::max(0.0, sum + bias[j]);
    }
  }
  ExpectNear(y, sums, 1e-5);
  ExpectNear(relu, rectified, 1e-5);
}

// A run that diverged must show it.
TEST_P(BlockSparseProducts, ReluKeepsNaN) {
  const int64_t rows = case_.rows, inputs = case_.inputs, outputs = case_.outputs;
  const GuardedFloats x(rows * inputs), y(rows * outputs);
  std::fill_n(x.data(), x.size(), std::numeric_limits<float>::quiet_NaN());
  ASSERT_OK_AND_ASSIGN(auto product,
                       BlockSparseMatMul::Create(matrix_.pattern, rows, isa(), threads()));
  Multiply(product, {matrix_.values.data(), outputs, 1}, x.data(), nullptr, true, y.data());
  for (int64_t j = 0; j < outputs; ++j) {
    bool any = false;
    for (int64_t i = 0; i < inputs; ++i) any |= matrix_.pattern.Keeps(i, j);
    ASSERT_EQ(std::isnan(y[j]), any) << "output " << j;
    ASSERT_EQ(std::isnan(y[(rows - 1) * outputs + j]), any) << "output " << j;
  }
}

// d_x = d_y W^T, with the weights as Gemm with transB stores them.
TEST_P(BlockSparseProducts, TheTransposedPatternGivesTheGradientOfTheData) {
  const int64_t rows = case_.rows, inputs = case_.inputs, outputs = case_.outputs;
  const GuardedFloats d_y(rows * outputs, 3), d_x(rows * inputs);
  ASSERT_OK_AND_ASSIGN(auto product, BlockSparseMatMul::Create(matrix_.pattern.Transposed(), rows,
                                                               isa(), threads()));
  Multiply(product, {matrix_.values.data(), 1, outputs}, d_y.data(), nullptr, false, d_x.data());
  std::vector<double> sums(rows * inputs, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t j = 0; j < outputs; ++j) {
        sums[r * inputs + i] += d_y[r * outputs + j] * OrZero(matrix_.at(i, j));
      }
    }
  }
  ExpectNear(d_x, sums, 1e-5);
}

TEST_P(BlockSparseProducts, OnlyKeptBlocksHaveAGradient) {
  const int64_t rows = case_.rows, inputs = case_.inputs, outputs = case_.outputs;
  const GuardedFloats x(rows * inputs, 4), d_y(rows * outputs, 5);
  ASSERT_OK_AND_ASSIGN(auto product,
                       BlockSparseWeightGradient::Create(matrix_.pattern, rows, isa(), threads()));
  // [outputs, inputs], as Gemm with transB stores it.
  const GuardedFloats d_w(inputs * outputs);
  std::fill_n(d_w.data(), d_w.size(), -7.0f);
  RunGradient(product, x.data(), d_y.data(), {d_w.data(), 1, inputs});
  std::vector<double> expected(inputs * outputs, -7.0);
  for (int64_t i = 0; i < inputs; ++i) {
    for (int64_t j = 0; j < outputs; ++j) {
      if (std::isnan(matrix_.at(i, j))) continue;
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r) sum += x[r * inputs + i] * d_y[r * outputs + j];
      expected[j * inputs + i] = sum;
    }
  }
  ExpectNear(d_w, expected, 1e-5);
}

TEST_P(BlockSparseProducts, RepeatTheirBits) {
  const int64_t rows = case_.rows, inputs = case_.inputs, outputs = case_.outputs;
  const GuardedFloats x(rows * inputs, 1), d_y(rows * outputs, 2);
  std::vector<std::vector<float>> results;
  for (int run = 0; run < 2; ++run) {
    ASSERT_OK_AND_ASSIGN(auto forward,
                         BlockSparseMatMul::Create(matrix_.pattern, rows, isa(), threads()));
    ASSERT_OK_AND_ASSIGN(
        auto backward, BlockSparseWeightGradient::Create(matrix_.pattern, rows, isa(), threads()));
    std::vector<float> y(rows * outputs), d_w(inputs * outputs, 0.0f);
    Multiply(forward, {matrix_.values.data(), outputs, 1}, x.data(), nullptr, false, y.data());
    RunGradient(backward, x.data(), d_y.data(), {d_w.data(), outputs, 1});
    y.insert(y.end(), d_w.begin(), d_w.end());
    results.push_back(std::move(y));
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

INSTANTIATE_TEST_SUITE_P(Kernels, BlockSparseProducts, testing::ValuesIn(AllParameters()),
                         [](const testing::TestParamInfo<Parameters>& info) {
                           const Case c = Cases()[std::get<2>(info.param)];
                           return absl::StrCat(IsaName(std::get<0>(info.param)), "_",
                                               std::get<1>(info.param), "Threads_", c.rows, "x",
                                               c.inputs, "x", c.outputs, "_", c.block_rows, "x",
                                               c.block_cols);
                         });

TEST(BlockSparseMatMul, PacksAlikeForOtherRowsUnlessItReadsThemOtherwise) {
  const auto plan = [](const BlockSparsePattern& pattern, int64_t rows) {
    return *BlockSparseMatMul::Create(pattern, rows, CpuIsa::kPortable, 1);
  };
  const BlockSparsePattern pattern = *BlockSparsePattern::Create(4, 4, 2, 2, {1, 0, 1, 1});
  EXPECT_TRUE(plan(pattern, 100).PacksLike(plan(pattern, 200)));
  const BlockSparsePattern other = *BlockSparsePattern::Create(4, 4, 2, 2, {1, 1, 0, 1});
  EXPECT_FALSE(plan(pattern, 100).PacksLike(plan(other, 100)));
  // A single row is multiplied along columns, whose weights are padded to vectors.
  EXPECT_FALSE(plan(pattern, 100).PacksLike(plan(pattern, 1)));
}

TEST(BlockSparseMatMul, RefusesNoRowsAndNoThreads) {
  const BlockSparsePattern pattern = *BlockSparsePattern::Create(2, 2, 1, 1, {1, 1, 1, 1});
  EXPECT_THAT(BlockSparseMatMul::Create(pattern, 0, CpuIsa::kPortable, 1).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 rows")));
  EXPECT_THAT(BlockSparseWeightGradient::Create(pattern, 1, CpuIsa::kPortable, 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 threads")));
}

}  // namespace
}  // namespace topiary
