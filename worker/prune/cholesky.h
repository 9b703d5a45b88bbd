// Factors of symmetric positive definite matrices in double: what the methods need that prune by a
// quadratic model of a layer's error.
//
// Matrices are n x n, row-major. The order of every sum is fixed, whatever the number of threads
// that `backend` lends (null: none but the caller's), so that results have the same bits. n^3 / 6
// multiplications and additions each; n is at most some thousands. `check`, where it is not empty,
// is asked now and then, on the caller's thread: its error ends the work, which is then of no use.
#ifndef TOPIARY_WORKER_PRUNE_CHOLESKY_H_
#define TOPIARY_WORKER_PRUNE_CHOLESKY_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"

namespace topiary {

// Replaces the lower triangle of `a` by L, a = L L^T, and the rest by 0; only the lower triangle is
// read. False, and `a` of no use, where it is not positive definite.
using WorkCheck = std::function<absl::Status()>;
absl::StatusOr<bool> FactorCholesky(int64_t n, Backend* backend, const WorkCheck& check,
                                    std::vector<double>* a);

// Replaces a lower triangular matrix without zeros on its diagonal by its inverse.
absl::Status InvertLowerTriangular(int64_t n, Backend* backend, const WorkCheck& check,
                                   std::vector<double>* lower);

// X^T X of a lower triangular matrix X: the inverse of L L^T where X is that of L.
absl::StatusOr<std::vector<double>> TransposedTimesItself(int64_t n, Backend* backend,
                                                          const WorkCheck& check,
                                                          const std::vector<double>& lower);

// Replaces `x` [n, cols] by the solution y of a y = x, and the lower triangle of `a`, which alone
// is read, by its factor, on the caller's thread. False, and both of no use, where `a` is not
// positive definite.
absl::StatusOr<bool> SolveCholesky(int64_t n, int64_t cols, const WorkCheck& check,
                                   std::vector<double>* a, std::vector<double>* x);

// c += factor * a b, for [rows, inner] a, [inner, cols] b and [rows, cols] c within larger
// matrices, whose rows lie so far apart.
template <typename Number>
struct View {
  Number* data = nullptr;
  int64_t stride = 0;
};
using MatrixView = View<double>;
using ConstMatrixView = View<const double>;
void AddProduct(int64_t rows, int64_t cols, int64_t inner, double factor, ConstMatrixView a,
                ConstMatrixView b, MatrixView c);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CHOLESKY_H_
