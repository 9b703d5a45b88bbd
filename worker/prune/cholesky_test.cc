#include "worker/prune/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <new>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/two_threads_test_util.h"

namespace topiary {
namespace {

using Matrix = std::vector<double>;

Matrix RandomMatrix(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed, kStreamTest, 0);
  Matrix matrix(rows * cols);
  for (double& value : matrix) value = random.Normal();
  return matrix;
}

Matrix Product(int64_t rows, int64_t inner, int64_t cols, const Matrix& a, const Matrix& b,
               bool transpose_b = false) {
  Matrix c(rows * cols, 0);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      for (int64_t k = 0; k < inner; ++k) {
        c[i * cols + j] += a[i * inner + k] * (transpose_b ? b[j * inner + k] : b[k * cols + j]);
      }
    }
  }
  return c;
}

// Of 2 n samples, and a little on the diagonal.
Matrix PositiveDefinite(int64_t n) {
  const Matrix samples = RandomMatrix(n, 2 * n, 1);
  Matrix matrix = Product(n, 2 * n, n, samples, samples, true);
  for (int64_t i = 0; i < n; ++i) matrix[i * n + i] += 0.1;
  return matrix;
}

double Difference(const Matrix& a, const Matrix& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

// Below, at and across the sizes of blocks and tiles.
class Factors : public testing::TestWithParam<int64_t> {
 protected:
  ReferenceBackend backend_;
};

TEST_P(Factors, MultiplyToTheMatrix) {
  const int64_t n = GetParam();
  const Matrix matrix = PositiveDefinite(n);
  Matrix factor = matrix;
  ASSERT_TRUE(*FactorCholesky(n, &backend_, {}, &factor));
  EXPECT_LT(Difference(Product(n, n, n, factor, factor, true), matrix), 1e-10 * n);
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_GT(factor[i * n + i], 0);
    for (int64_t j = i + 1; j < n; ++j) EXPECT_EQ(factor[i * n + j], 0);
  }
}

TEST_P(Factors, GiveTheInverse) {
  const int64_t n = GetParam();
  const Matrix matrix = PositiveDefinite(n);
  Matrix inverse = matrix;
  ASSERT_TRUE(*FactorCholesky(n, &backend_, {}, &inverse));
  ASSERT_OK(InvertLowerTriangular(n, &backend_, {}, &inverse));
  inverse = *TransposedTimesItself(n, &backend_, {}, inverse);
  Matrix identity(n * n, 0);
  for (int64_t i = 0; i < n; ++i) identity[i * n + i] = 1;
  EXPECT_LT(Difference(Product(n, n, n, inverse, matrix), identity), 1e-7);
}

TEST_P(Factors, SolveEquations) {
  const int64_t n = GetParam();
  const Matrix matrix = PositiveDefinite(n);
  const Matrix right = RandomMatrix(n, 3, 2);
  Matrix factor = matrix;
  Matrix solution = right;
  ASSERT_TRUE(*SolveCholesky(n, 3, {}, &factor, &solution));
  EXPECT_LT(Difference(Product(n, n, 3, matrix, solution), right), 1e-8);
}

TEST_P(Factors, AreTheSameBitsOnTwoThreads) {
  const int64_t n = GetParam();
  TwoThreadsBackend two;
  Matrix one_thread = PositiveDefinite(n);
  Matrix two_threads = one_thread;
  ASSERT_TRUE(*FactorCholesky(n, &backend_, {}, &one_thread));
  ASSERT_TRUE(*FactorCholesky(n, &two, {}, &two_threads));
  EXPECT_EQ(one_thread, two_threads);
  ASSERT_OK(InvertLowerTriangular(n, &backend_, {}, &one_thread));
  ASSERT_OK(InvertLowerTriangular(n, &two, {}, &two_threads));
  EXPECT_EQ(one_thread, two_threads);
  EXPECT_EQ(*TransposedTimesItself(n, &backend_, {}, one_thread),
            *TransposedTimesItself(n, &two, {}, two_threads));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Factors, testing::Values(1, 2, 7, 63, 64, 65, 130, 300));

TEST(Cholesky, EndsWhereItIsToldTo) {
  ReferenceBackend backend;
  const Matrix matrix = PositiveDefinite(130);
  int asked = 0;
  const auto third = [&] { return ++asked < 3 ? absl::OkStatus() : absl::CancelledError(); };
  Matrix factor = matrix;
  EXPECT_THAT(FactorCholesky(130, &backend, third, &factor).status(),
              StatusIs(absl::StatusCode::kCancelled));
  asked = 0;
  factor = matrix;
  ASSERT_TRUE(*FactorCholesky(130, &backend, {}, &factor));
  EXPECT_THAT(InvertLowerTriangular(130, &backend, third, &factor),
              StatusIs(absl::StatusCode::kCancelled));
}

// The other thread's.
TEST(ForEachInParallel, ThrowsOnTheCallersThreadWhatIsThrownOnAnother) {
  TwoThreadsBackend two;
  const auto fail = [](int64_t item) {
    if (item == 1) throw std::bad_alloc();
  };
  EXPECT_THROW(ForEachInParallel(&two, 4, fail), std::bad_alloc);
}

TEST(FactorCholesky, RefusesAMatrixThatIsNotPositiveDefinite) {
  ReferenceBackend backend;
  Matrix indefinite = {1, 2, 2, 1};
  EXPECT_FALSE(*FactorCholesky(2, &backend, {}, &indefinite));
  Matrix singular = {1, 1, 1, 1};
  EXPECT_FALSE(*FactorCholesky(2, &backend, {}, &singular));
  Matrix wrong = {NAN};
  EXPECT_FALSE(*FactorCholesky(1, &backend, {}, &wrong));
  Matrix large = PositiveDefinite(100);
  large[99 * 100 + 99] = -1;
  EXPECT_FALSE(*FactorCholesky(100, &backend, {}, &large));
}

}  // namespace
}  // namespace topiary
