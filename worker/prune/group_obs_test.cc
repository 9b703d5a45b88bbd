#include "worker/prune/group_obs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/calibration_test_util.h"
#include "worker/prune/obs_column.h"
#include "worker/prune/sparsegpt.h"
#include "worker/prune/two_threads_test_util.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

// Solves a x = b by elimination with pivots.
std::vector<double> Solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t k = i; k < n; ++k) {
      if (std::abs(a[k][i]) > std::abs(a[pivot][i])) pivot = k;
    }
    std::swap(a[i], a[pivot]);
    std::swap(b[i], b[pivot]);
    for (size_t k = 0; k < n; ++k) {
      if (k == i) continue;
      const double factor = a[k][i] / a[i][i];
      for (size_t j = i; j < n; ++j) a[k][j] -= factor * a[i][j];
      b[k] -= factor * b[i];
    }
  }
  for (size_t i = 0; i < n; ++i) b[i] /= a[i][i];
  return b;
}

// Whether element (input, output) is left by `support`.
bool IsKept(const BlockPartition& partition, const Support& support, int64_t input,
            int64_t output) {
  return support[input / partition.block().rows * partition.block_cols() +
                 output / partition.block().cols] != 0;
}

// The weights with which the outputs change least, pruned ones 0: H_FF w_F = H_F: w of the given.
std::vector<float> LeastSquares(const TestLayer& test, const Support& support) {
  const int64_t inputs = test.layer.layer().rows;
  std::vector<float> weights(test.given.size(), 0);
  for (int64_t output = 0; output < test.layer.layer().cols; ++output) {
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < inputs; ++i) {
      if (IsKept(*test.layer.partition, support, i, output)) kept.push_back(i);
    }
    std::vector<std::vector<double>> h;
    std::vector<double> right;
    for (const int64_t i : kept) {
      h.emplace_back();
      for (const int64_t j : kept) h.back().push_back(test.moments[i * inputs + j]);
      right.push_back(0);
      for (int64_t j = 0; j < inputs; ++j) {
        right.back() += test.moments[i * inputs + j] * test.given[output * inputs + j];
      }
    }
    const std::vector<double> solution = Solve(h, right);
    for (size_t i = 0; i < kept.size(); ++i) {
      weights[output * inputs + kept[i]] = static_cast<float>(solution[i]);
    }
  }
  return weights;
}

double ErrorOf(TestLayer* test, const Support& support) {
  test->weights = LeastSquares(*test, support);
  return test->Error();
}

GroupObsOptions Undampened() {
  GroupObsOptions options;
  options.dampening = 0;
  return options;
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << "element " << i;
}

// 13 x 5 in blocks of 3 x 2, ragged at both edges: 5 x 3 blocks.
TEST(GroupObs, RemovesTheBlockWithoutWhichLeastSquaresErrLeast) {
  TestLayer test(13, 5, {3, 2}, 1.0 / 15);
  ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(Undampened(), test.layer));
  const std::vector<float> found = test.weights;
  const double error = test.Error();
  ASSERT_EQ(LiveBlocks(support), 14);
  ExpectNear(found, LeastSquares(test, support), 1e-5);
  for (size_t block = 0; block < 15; ++block) {
    Support other(15, 1);
    other[block] = 0;
    EXPECT_GE(ErrorOf(&test, other), error * (1 - 1e-6)) << "block " << block;
  }
}

// Every removal is the best one, given those before.
TEST(GroupObs, IsGreedyOverTheLayer) {
  Support before(15, 1);
  for (int removed = 1; removed <= 14; ++removed) {
    TestLayer test(13, 5, {3, 2}, removed / 15.0);
    ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(Undampened(), test.layer));
    ASSERT_EQ(LiveBlocks(support), 15 - removed);
    ExpectNear(test.weights, LeastSquares(test, support), 1e-4);
    double least = std::numeric_limits<double>::infinity();
    for (size_t block = 0; block < 15; ++block) {
      if (before[block] == 0) {
        EXPECT_EQ(support[block], 0) << "returned";
        continue;
      }
      Support other = before;
      other[block] = 0;
      least = std::min(least, ErrorOf(&test, other));
    }
    EXPECT_NEAR(ErrorOf(&test, support), least, 1e-5 * least);
    before = support;
  }
}

// The costs told are half of what the squared error grows by.
TEST(ObsColumn, CostsAreWhatTheErrorGrowsBy) {
  TestLayer test(12, 3, {2, 3}, 0);
  const int64_t n = 12;
  std::vector<double> inverse(n * n);
  for (int64_t j = 0; j < n; ++j) {
    std::vector<std::vector<double>> h;
    std::vector<double> unit(n, 0);
    unit[j] = 1;
    for (int64_t i = 0; i < n; ++i) {
      h.emplace_back(test.moments.begin() + i * n, test.moments.begin() + (i + 1) * n);
    }
    const std::vector<double> column = Solve(h, unit);
    for (int64_t i = 0; i < n; ++i) inverse[i * n + j] = column[i];
  }
  ObsColumn column(12, 3, 2);
  const std::vector<double> weights(test.given.begin(), test.given.end());
  int asked = 0;
  const auto check = [&asked] { return ++asked, absl::OkStatus(); };
  ASSERT_OK_AND_ASSIGN(const std::vector<ObsRemoval> removals,
                       column.RemoveAll(inverse, weights, 3, check));
  EXPECT_EQ(asked, 6);
  ASSERT_EQ(removals.size(), 6u);
  Support support(6, 1);
  double error = 0;
  for (size_t i = 0; i + 1 < removals.size(); ++i) {
    support[removals[i].row] = 0;
    const double now = ErrorOf(&test, support);
    EXPECT_NEAR(2 * removals[i].cost, now - error, 1e-5 * now) << "removal " << i;
    error = now;
  }
}

TEST(GroupObs, ErrsLessThanSparseGptAndMagnitudeOnCorrelatedInputs) {
  for (const BlockShape block : {BlockShape{1, 1}, BlockShape{4, 4}, BlockShape{8, 1}}) {
    for (const double sparsity : {0.5, 0.8}) {
      TestLayer by_obs(64, 32, block, sparsity);
      ASSERT_OK(PruneCalibrated(GroupObsOptions(), by_obs.layer).status());
      TestLayer by_sparsegpt(64, 32, block, sparsity);
      ASSERT_OK(PruneCalibrated(SparseGptOptions(), by_sparsegpt.layer).status());
      TestLayer by_magnitude(64, 32, block, sparsity);
      const CalibratedLayer& layer = by_magnitude.layer;
      layer.partition->ZeroPruned(
          SelectTopBlocks(BlockNorms(*layer.partition, layer.weight), {}, layer.kept_blocks()),
          layer.weight);
      EXPECT_LT(by_obs.Error(), by_sparsegpt.Error());
      EXPECT_LT(by_obs.Error(), by_magnitude.Error());
    }
  }
}

TEST(GroupObs, FailsWhereTheInputsLeaveTheWeightsOpen) {
  TestLayer test(8, 4, {1, 1}, 0.5);
  test.moments = std::vector<double>(64, 1);
  EXPECT_THAT(PruneCalibrated(Undampened(), test.layer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("dampening")));
  EXPECT_OK(PruneCalibrated(GroupObsOptions(), test.layer).status());
}

// Within its columns, of which each thread has one at a time; it tells what the check said.
TEST(GroupObs, EndsWhereItIsToldTo) {
  TwoThreadsBackend two;
  TestLayer test(64, 4, {4, 2}, 0.7);
  test.layer.backend = &two;
  int asked = 0;
  test.layer.check = [&asked] {
    return ++asked < 10 ? absl::OkStatus() : absl::DeadlineExceededError("late");
  };
  EXPECT_THAT(PruneCalibrated(GroupObsOptions(), test.layer).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("late")));
  EXPECT_EQ(asked, 10);
}

TEST(GroupObs, GivesTheSameBitsOnTwoThreads) {
  TwoThreadsBackend two;
  TestLayer by_one(96, 50, {4, 2}, 0.7);
  TestLayer by_two(96, 50, {4, 2}, 0.7);
  by_two.layer.backend = &two;
  ASSERT_OK(PruneCalibrated(GroupObsOptions(), by_one.layer).status());
  ASSERT_OK(PruneCalibrated(GroupObsOptions(), by_two.layer).status());
  EXPECT_EQ(by_one.weights, by_two.weights);
}

}  // namespace
}  // namespace topiary
