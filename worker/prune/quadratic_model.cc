#include "worker/prune/quadratic_model.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/cholesky.h"

namespace topiary {
namespace {

// L^-1 of L L^T = `matrix`.
absl::StatusOr<std::vector<double>> InverseFactor(const CalibratedLayer& layer, int64_t n,
                                                  std::vector<double> matrix) {
  ASSIGN_OR_RETURN(const bool factored, FactorCholesky(n, layer.backend, layer.check, &matrix));
  if (!factored) {
    return absl::FailedPreconditionError(
        absl::StrCat("layer '", layer.layer().weight,
                     "': the inputs of the calibration examples leave the weights open: raise "
                     "dampening, or calibration_examples"));
  }
  RETURN_IF_ERROR(InvertLowerTriangular(n, layer.backend, layer.check, &matrix));
  return matrix;
}

// The rows, and the columns, in the opposite order.
std::vector<double> Reversed(const std::vector<double>& matrix) {
  return {matrix.rbegin(), matrix.rend()};
}

}  // namespace

QuadraticModel ModelOf(const CalibratedLayer& layer, int64_t group, double dampening) {
  QuadraticModel model;
  const int64_t n = layer.layer().rows;
  model.inputs = n;
  model.h = layer.moments(group);
  CHECK_EQ(static_cast<int64_t>(model.h.size()), n * n);
  model.dead.assign(n, 0);
  double sum = 0;
  int64_t live = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double diagonal = model.h[i * n + i];
    model.dead[i] = diagonal == 0;
    live += diagonal == 0 ? 0 : 1;
    sum += diagonal;
  }
  const double mean = live > 0 ? sum / static_cast<double>(live) : 1;
  for (int64_t i = 0; i < n; ++i) {
    if (model.dead[i] != 0) model.h[i * n + i] = mean;
    model.h[i * n + i] += dampening * mean;
  }
  return model;
}

void ZeroDeadInputs(const QuadraticModel& model, std::vector<double>* outputs) {
  for (size_t i = 0; i < outputs->size(); ++i) {
    if (model.dead[i % model.inputs] != 0) (*outputs)[i] = 0;
  }
}

absl::StatusOr<std::vector<double>> InverseOf(const CalibratedLayer& layer,
                                              const QuadraticModel& model) {
  ASSIGN_OR_RETURN(const std::vector<double> factor, InverseFactor(layer, model.inputs, model.h));
  return TransposedTimesItself(model.inputs, layer.backend, layer.check, factor);
}

// With J the order reversed and J H J = L L^T: U = J L^-1 J is upper triangular, and
// U^T U = J L^-T L^-1 J = J (J H J)^-1 J, the inverse of H.
absl::StatusOr<std::vector<double>> UpperFactorOfInverse(const CalibratedLayer& layer,
                                                         const QuadraticModel& model) {
  ASSIGN_OR_RETURN(const std::vector<double> factor,
                   InverseFactor(layer, model.inputs, Reversed(model.h)));
  return Reversed(factor);
}

}  // namespace topiary
