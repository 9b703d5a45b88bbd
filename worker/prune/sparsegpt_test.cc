#include "worker/prune/sparsegpt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/calibration_test_util.h"
#include "worker/prune/two_threads_test_util.h"
#include "worker/prune/wanda.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using Matrix = std::vector<std::vector<double>>;

// By elimination, for small matrices.
Matrix Inverse(Matrix a) {
  const size_t n = a.size();
  Matrix inverse(n, std::vector<double>(n, 0));
  for (size_t i = 0; i < n; ++i) inverse[i][i] = 1;
  for (size_t i = 0; i < n; ++i) {
    const double pivot = a[i][i];
    for (size_t j = 0; j < n; ++j) a[i][j] /= pivot, inverse[i][j] /= pivot;
    for (size_t k = 0; k < n; ++k) {
      if (k == i) continue;
      const double factor = a[k][i];
      for (size_t j = 0; j < n; ++j) {
        a[k][j] -= factor * a[i][j];
        inverse[k][j] -= factor * inverse[i][j];
      }
    }
  }
  return inverse;
}

// U with U^T U = `a`, row by row.
Matrix UpperFactor(const Matrix& a) {
  const size_t n = a.size();
  Matrix u(n, std::vector<double>(n, 0));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      double sum = a[i][j];
      for (size_t k = 0; k < i; ++k) sum -= u[k][i] * u[k][j];
      u[i][j] = j == i ? std::sqrt(sum) : sum / u[i][i];
    }
  }
  return u;
}

Matrix DampenedMoments(const TestLayer& test, double dampening) {
  const auto n = static_cast<size_t>(test.layer.layer().rows);
  Matrix h(n, std::vector<double>(n));
  double mean = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) h[i][j] = test.moments[i * n + j];
    mean += h[i][i] / static_cast<double>(n);
  }
  for (size_t i = 0; i < n; ++i) h[i][i] += dampening * mean;
  return h;
}

// The published algorithm as it is written, with blocks of `rows` x `cols`: every update at once.
std::vector<float> Straightforward(const TestLayer& test, int64_t chunk, int64_t rows, int64_t cols,
                                   const std::vector<int64_t>& kept_of_chunks) {
  const int64_t inputs = test.layer.layer().rows;
  const int64_t outputs = test.layer.layer().cols;
  const Matrix u = UpperFactor(Inverse(DampenedMoments(test, 0.01)));
  Matrix w(outputs, std::vector<double>(inputs));
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t i = 0; i < inputs; ++i) w[o][i] = test.given[o * inputs + i];
  }
  std::vector<std::vector<bool>> pruned(outputs, std::vector<bool>(inputs, false));
  for (int64_t begin = 0; begin < inputs; begin += chunk) {
    const int64_t end = std::min(inputs, begin + chunk);
    std::vector<std::pair<double, std::pair<int64_t, int64_t>>> blocks;
    for (int64_t i = begin; i < end; i += rows) {
      for (int64_t o = 0; o < outputs; o += cols) {
        double score = 0;
        for (int64_t y = i; y < std::min(end, i + rows); ++y) {
          for (int64_t x = o; x < std::min(outputs, o + cols); ++x) {
            score += w[x][y] * w[x][y] / (u[y][y] * u[y][y]);
          }
        }
        blocks.push_back({score, {i, o}});
      }
    }
    std::sort(blocks.begin(), blocks.end());
    const int64_t gone =
        static_cast<int64_t>(blocks.size()) - kept_of_chunks[static_cast<size_t>(begin / chunk)];
    for (int64_t b = 0; b < gone; ++b) {
      const auto [i, o] = blocks[b].second;
      for (int64_t y = i; y < std::min(end, i + rows); ++y) {
        for (int64_t x = o; x < std::min(outputs, o + cols); ++x) pruned[x][y] = true;
      }
    }
    for (int64_t j = begin; j < end; ++j) {
      for (int64_t o = 0; o < outputs; ++o) {
        if (!pruned[o][j]) continue;
        const double error = w[o][j] / u[j][j];
        for (int64_t k = j; k < inputs; ++k) w[o][k] -= error * u[j][k];
        w[o][j] = 0;
      }
    }
  }
  std::vector<float> flat;
  for (const std::vector<double>& row : w) flat.insert(flat.end(), row.begin(), row.end());
  return flat;
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], 1e-5) << "element " << i;
    EXPECT_EQ(a[i] == 0, b[i] == 0) << "element " << i;
  }
}

TEST(SparseGpt, DoesWhatThePublishedAlgorithmDoes) {
  TestLayer test(24, 10, {1, 1}, 0.6);
  SparseGptOptions options;
  options.chunk_inputs = 8;
  ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(options, test.layer));
  EXPECT_EQ(LiveBlocks(support), 96) << "of 240";
  ExpectNear(test.weights, Straightforward(test, 8, 1, 1, {32, 32, 32}));
}

// 23 x 9 in blocks of 4 x 2: 6 x 5 blocks, of which 12 are kept; chunks of 8 inputs have 10 of
// them.
TEST(SparseGpt, DoesTheSameWithBlocks) {
  TestLayer test(23, 9, {4, 2}, 0.6);
  SparseGptOptions options;
  options.chunk_inputs = 11;
  ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(options, test.layer));
  EXPECT_EQ(LiveBlocks(support), 12);
  ExpectNear(test.weights, Straightforward(test, 8, 4, 2, {4, 4, 4}));
}

// 2:4 as it is written: input 4, 8, .. chooses for itself and the three after it, of weights that
// have made up for all pruned before.
TEST(SparseGpt, ChoosesTwoOfFourWhenItGetsThere) {
  TestLayer test(22, 6, {1, 1}, 0.5);
  test.layer.n_of_m = NOfM{2, 4};
  SparseGptOptions options;
  options.chunk_inputs = 9;  // Two runs.
  ASSERT_OK(PruneCalibrated(options, test.layer).status());
  const Matrix u = UpperFactor(Inverse(DampenedMoments(test, 0.01)));
  std::vector<float> expected;
  for (int64_t o = 0; o < 6; ++o) {
    std::vector<double> w(test.given.begin() + o * 22, test.given.begin() + (o + 1) * 22);
    for (int64_t begin = 0; begin < 22; begin += 4) {
      const int64_t end = std::min<int64_t>(22, begin + 4);
      std::vector<std::pair<double, int64_t>> scores;
      for (int64_t j = begin; j < end; ++j) {
        scores.emplace_back(w[j] * w[j] / (u[j][j] * u[j][j]), j);
      }
      std::sort(scores.begin(), scores.end());
      std::vector<bool> pruned(22, false);
      for (int64_t i = 0; i < end - begin - 2; ++i) pruned[scores[i].second] = true;
      for (int64_t j = begin; j < end; ++j) {
        if (!pruned[j]) continue;
        const double error = w[j] / u[j][j];
        for (int64_t k = j; k < 22; ++k) w[k] -= error * u[j][k];
        w[j] = 0;
      }
    }
    expected.insert(expected.end(), w.begin(), w.end());
  }
  ExpectNear(test.weights, expected);
}

// Two candidates as wide as a chunk: which of them goes is not settled by where they lie.
TEST(SparseGpt, AllCandidatesOfAGroupCompete) {
  for (const int weak : {0, 1}) {
    TestLayer test(16, 4, {8, 4}, 0.5);
    for (int64_t output = 0; output < 4; ++output) {
      for (int64_t i = 0; i < 8; ++i) test.weights[output * 16 + weak * 8 + i] *= 1e-3F;
    }
    test.layer.is_group = true;
    SparseGptOptions options;
    options.chunk_inputs = 8;
    ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(options, test.layer));
    EXPECT_EQ(support[weak], 0);
    EXPECT_EQ(support[1 - weak], 1);
  }
}

// However the inputs are cut, updates within and after chunks are the same sums: with one chunk
// the choice is one as well.
TEST(SparseGpt, ErrsLessThanWandaAndMagnitudeOnCorrelatedInputs) {
  for (const BlockShape block : {BlockShape{1, 1}, BlockShape{4, 4}}) {
    for (const double sparsity : {0.5, 0.8}) {
      TestLayer by_sparsegpt(64, 32, block, sparsity);
      ASSERT_OK(PruneCalibrated(SparseGptOptions(), by_sparsegpt.layer).status());
      TestLayer by_wanda(64, 32, block, sparsity);
      by_wanda.layer.moments = [&](int64_t) {
        std::vector<double> diagonal(64);
        for (int64_t i = 0; i < 64; ++i) diagonal[i] = by_wanda.moments[i * 64 + i];
        return diagonal;
      };
      ASSERT_OK(PruneCalibrated(WandaOptions(), by_wanda.layer).status());
      TestLayer by_magnitude(64, 32, block, sparsity);
      const CalibratedLayer& layer = by_magnitude.layer;
      layer.partition->ZeroPruned(
          SelectTopBlocks(BlockNorms(*layer.partition, layer.weight), {}, layer.kept_blocks()),
          layer.weight);
      EXPECT_LT(by_sparsegpt.Error(), by_wanda.Error());
      EXPECT_LT(by_wanda.Error(), by_magnitude.Error());
    }
  }
}

TEST(SparseGpt, WeightsOfInputsThatAreAlwaysZeroAreZero) {
  TestLayer test(8, 4, {1, 1}, 0.5);
  for (int64_t i = 0; i < 8; ++i) test.moments[3 * 8 + i] = test.moments[i * 8 + 3] = 0;
  ASSERT_OK(PruneCalibrated(SparseGptOptions(), test.layer).status());
  for (int64_t output = 0; output < 4; ++output) EXPECT_EQ(test.weights[output * 8 + 3], 0);
  for (const float weight : test.weights) EXPECT_TRUE(std::isfinite(weight));
}

// Halving all inputs seven times changes no digit of anything, dead inputs or not.
TEST(SparseGpt, TheScaleOfTheInputsDoesNotMatterWhereSomeAreZero) {
  TestLayer large(8, 4, {1, 1}, 0.5);
  TestLayer small(8, 4, {1, 1}, 0.5);
  for (TestLayer* test : {&large, &small}) {
    for (int64_t i = 0; i < 8; ++i) test->moments[3 * 8 + i] = test->moments[i * 8 + 3] = 0;
  }
  for (double& moment : small.moments) moment /= 1 << 14;
  ASSERT_OK_AND_ASSIGN(const Support of_large, PruneCalibrated(SparseGptOptions(), large.layer));
  ASSERT_OK_AND_ASSIGN(const Support of_small, PruneCalibrated(SparseGptOptions(), small.layer));
  EXPECT_EQ(of_small, of_large);
  EXPECT_EQ(small.weights, large.weights);
}

TEST(SparseGpt, FailsWhereTheInputsLeaveTheWeightsOpen) {
  TestLayer test(8, 4, {1, 1}, 0.5);
  test.moments = std::vector<double>(64, 1);  // All inputs are the same one.
  SparseGptOptions options;
  options.dampening = 0;
  EXPECT_THAT(PruneCalibrated(options, test.layer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("dampening")));
  options.dampening = 0.01;
  EXPECT_OK(PruneCalibrated(options, test.layer).status());
}

TEST(SparseGpt, GivesTheSameBitsOnTwoThreads) {
  TwoThreadsBackend two;
  TestLayer by_one(96, 150, {2, 2}, 0.7);
  TestLayer by_two(96, 150, {2, 2}, 0.7);
  by_two.layer.backend = &two;
  ASSERT_OK(PruneCalibrated(SparseGptOptions(), by_one.layer).status());
  ASSERT_OK(PruneCalibrated(SparseGptOptions(), by_two.layer).status());
  EXPECT_EQ(by_one.weights, by_two.weights);
}

}  // namespace
}  // namespace topiary
