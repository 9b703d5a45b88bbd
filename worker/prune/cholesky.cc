#include "worker/prune/cholesky.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "worker/prune/calibrated_layer.h"

namespace topiary {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kTile = 256;  // Columns whose part of a factor stays in the cache.

// Blocks of a product between two checks.
constexpr int64_t kBlocksAtOnce = 64;

absl::Status Ask(const WorkCheck& check) { return check ? check() : absl::OkStatus(); }

int64_t Blocks(int64_t n) { return (n + kBlock - 1) / kBlock; }

// Of the matrix [size, size] at `a`. False where a pivot is not above 0.
bool FactorBlock(int64_t size, MatrixView a) {
  for (int64_t i = 0; i < size; ++i) {
    double* const row = a.data + i * a.stride;
    for (int64_t j = 0; j <= i; ++j) {
      const double* const other = a.data + j * a.stride;
      double sum = row[j];
      for (int64_t k = 0; k < j; ++k) sum -= row[k] * other[k];
      if (j < i) {
        row[j] = sum / other[j];
      } else if (sum > 0 && std::isfinite(sum)) {
        row[i] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  return true;
}

// Solves x L^T = x for `rows` rows x, L the factor at `l`, both of `size` columns.
void SolveRows(int64_t rows, int64_t size, ConstMatrixView l, MatrixView x) {
  for (int64_t i = 0; i < rows; ++i) {
    double* const row = x.data + i * x.stride;
    for (int64_t j = 0; j < size; ++j) {
      const double* const of_l = l.data + j * l.stride;
      double sum = row[j];
      for (int64_t k = 0; k < j; ++k) sum -= row[k] * of_l[k];
      row[j] = sum / of_l[j];
    }
  }
}

// Solves L x = x for the [size, cols] matrix x.
void SolveColumns(int64_t size, int64_t cols, ConstMatrixView l, MatrixView x) {
  for (int64_t i = 0; i < size; ++i) {
    double* const row = x.data + i * x.stride;
    const double* const of_l = l.data + i * l.stride;
    for (int64_t k = 0; k < i; ++k) {
      const double factor = of_l[k];
      const double* const other = x.data + k * x.stride;
      for (int64_t j = 0; j < cols; ++j) row[j] -= factor * other[j];
    }
    for (int64_t j = 0; j < cols; ++j) row[j] /= of_l[i];
  }
}

}  // namespace

void AddProduct(int64_t rows, int64_t cols, int64_t inner, double factor, ConstMatrixView a,
                ConstMatrixView b, MatrixView c) {
  for (int64_t begin = 0; begin < cols; begin += kTile) {
    const int64_t width = std::min(kTile, cols - begin);
    for (int64_t i = 0; i < rows; ++i) {
      const double* const of_a = a.data + i * a.stride;
      double* const of_c = c.data + i * c.stride + begin;
      int64_t k = 0;
      for (; k + 4 <= inner; k += 4) {
        const double f0 = factor * of_a[k], f1 = factor * of_a[k + 1];
        const double f2 = factor * of_a[k + 2], f3 = factor * of_a[k + 3];
        const double* const b0 = b.data + k * b.stride + begin;
        const double* const b1 = b0 + b.stride;
        const double* const b2 = b1 + b.stride;
        const double* const b3 = b2 + b.stride;
        for (int64_t j = 0; j < width; ++j) {
          of_c[j] = of_c[j] + f0 * b0[j] + f1 * b1[j] + f2 * b2[j] + f3 * b3[j];
        }
      }
      for (; k < inner; ++k) {
        const double f = factor * of_a[k];
        const double* const of_b = b.data + k * b.stride + begin;
        for (int64_t j = 0; j < width; ++j) of_c[j] += f * of_b[j];
      }
    }
  }
}

absl::StatusOr<bool> FactorCholesky(int64_t n, Backend* backend, const WorkCheck& check,
                                    std::vector<double>* a) {
  double* const data = a->data();
  std::vector<double> panel;  // The block column that was factored last, transposed.
  for (int64_t k = 0; k < n; k += kBlock) {
    RETURN_IF_ERROR(Ask(check));
    const int64_t size = std::min(kBlock, n - k);
    const MatrixView diagonal = {data + k * n + k, n};
    if (!FactorBlock(size, diagonal)) return false;
    const int64_t below = n - k - size;
    panel.resize(size * below);
    ForEachInParallel(backend, Blocks(below), [&](int64_t block) {
      const int64_t begin = block * kBlock;
      const int64_t rows = std::min(kBlock, below - begin);
      const MatrixView x = {data + (k + size + begin) * n + k, n};
      SolveRows(rows, size, {diagonal.data, n}, x);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < size; ++j) panel[j * below + begin + i] = x.data[i * n + j];
      }
    });
    ForEachInParallel(backend, Blocks(below), [&](int64_t block) {
      const int64_t begin = block * kBlock;
      const int64_t rows = std::min(kBlock, below - begin);
      double* const row = data + (k + size + begin) * n;
      AddProduct(rows, begin + rows, size, -1, {row + k, n}, {panel.data(), below},
                 {row + k + size, n});
    });
  }
  for (int64_t i = 0; i < n; ++i) std::fill_n(data + i * n + i + 1, n - i - 1, 0.0);
  return true;
}

absl::StatusOr<bool> SolveCholesky(int64_t n, int64_t cols, const WorkCheck& check,
                                   std::vector<double>* a, std::vector<double>* x) {
  ASSIGN_OR_RETURN(const bool factored, FactorCholesky(n, nullptr, check, a));
  if (!factored) return false;
  for (int64_t begin = 0; begin < cols; begin += kTile) {
    RETURN_IF_ERROR(Ask(check));
    const int64_t width = std::min(kTile, cols - begin);
    double* const y = x->data() + begin;
    SolveColumns(n, width, {a->data(), n}, {y, cols});
    for (int64_t i = n; i-- > 0;) {
      double* const row = y + i * cols;
      for (int64_t j = 0; j < width; ++j) row[j] /= (*a)[i * n + i];
      for (int64_t k = 0; k < i; ++k) {
        const double factor = (*a)[i * n + k];
        for (int64_t j = 0; j < width; ++j) y[k * cols + j] -= factor * row[j];
      }
    }
  }
  return true;
}

absl::Status InvertLowerTriangular(int64_t n, Backend* backend, const WorkCheck& check,
                                   std::vector<double>* lower) {
  double* const data = lower->data();
  std::vector<double> rows_of_l;
  for (int64_t i = 0; i < n; i += kBlock) {
    RETURN_IF_ERROR(Ask(check));
    const int64_t size = std::min(kBlock, n - i);
    const int64_t width = i + size;
    rows_of_l.assign(size * width, 0);
    for (int64_t r = 0; r < size; ++r) {
      double* const row = data + (i + r) * n;
      std::copy_n(row, width, &rows_of_l[r * width]);
      std::fill_n(row, width, 0.0);
      row[i + r] = 1;
    }
    // With the rows above already inverted: X_i = L_ii^-1 (1 - sum_k L_ik X_k).
    ForEachInParallel(backend, (width + kTile - 1) / kTile, [&](int64_t tile) {
      const int64_t begin = tile * kTile;
      const int64_t cols = std::min(kTile, width - begin);
      const MatrixView x = {data + i * n + begin, n};
      const int64_t first = begin / kBlock * kBlock;  // Above it the columns are 0.
      if (first < i) {
        AddProduct(size, cols, i - first, -1, {&rows_of_l[first], width},
                   {data + first * n + begin, n}, x);
      }
      SolveColumns(size, cols, {&rows_of_l[i], width}, x);
    });
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> TransposedTimesItself(int64_t n, Backend* backend,
                                                          const WorkCheck& check,
                                                          const std::vector<double>& lower) {
  std::vector<double> product(n * n, 0);
  const auto multiply = [&](int64_t block) {
    const int64_t begin = block * kBlock;
    const int64_t rows = std::min(kBlock, n - begin);
    const int64_t inner = n - begin;
    std::vector<double> transposed(rows * inner);
    for (int64_t k = 0; k < inner; ++k) {
      for (int64_t i = 0; i < rows; ++i) {
        transposed[i * inner + k] = lower[(begin + k) * n + begin + i];
      }
    }
    AddProduct(rows, begin + rows, inner, 1, {transposed.data(), inner},
               {lower.data() + begin * n, n}, {&product[begin * n], n});
  };
  for (int64_t first = 0; first < Blocks(n); first += kBlocksAtOnce) {
    RETURN_IF_ERROR(Ask(check));
    ForEachInParallel(backend, std::min(kBlocksAtOnce, Blocks(n) - first),
                      [&](int64_t block) { multiply(first + block); });
  }
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) product[j * n + i] = product[i * n + j];
  }
  return product;
}

}  // namespace topiary
