#include "worker/prune/power_parametrization.h"

#include <cmath>
#include <vector>

#include "common/check.h"

namespace topiary {
namespace {

// Calls visit(position in the weight, block) for each element.
template <typename Visit>
void ForEachElement(const BlockPartition& partition, Visit visit) {
  for (const BlockRun& run : partition.runs()->runs) {
    for (int32_t i = 0; i < run.length; ++i) {
      visit(static_cast<size_t>(run.At(i)), static_cast<size_t>(run.BlockOf(i)));
    }
  }
}

std::vector<double> Norms(const BlockPartition& partition, absl::Span<const float> values) {
  std::vector<double> norms = partition.SumsOfSquares(values);
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

// |x|^exponent; without logarithms, which take five times as long as the rest of a step, for the
// usual exponents 2 and 3 of the parametrization.
double Power(double x, double exponent) {
  const double magnitude = std::abs(x);
  if (exponent == 1) return magnitude;
  if (exponent == 2) return magnitude * magnitude;
  return std::pow(magnitude, exponent);
}

}  // namespace

void PowerParametrization::Apply(const BlockPartition& partition, const Support& live,
                                 absl::Span<const float> phi, absl::Span<float> theta) const {
  CHECK_EQ(phi.size(), theta.size());
  if (form == Form::kElement) {
    ForEachElement(partition, [&](size_t at, size_t block) {
      theta[at] =
          live[block] == 0 ? 0.0F : static_cast<float>(phi[at] * Power(phi[at], exponent - 1));
    });
    return;
  }
  const std::vector<double> norms = Norms(partition, phi);
  ForEachElement(partition, [&](size_t at, size_t block) {
    theta[at] = live[block] == 0 ? 0.0F : static_cast<float>(norms[block] * phi[at]);
  });
}

void PowerParametrization::ChainGradient(const BlockPartition& partition,
                                         absl::Span<const float> phi,
                                         absl::Span<float> gradient) const {
  CHECK_EQ(phi.size(), gradient.size());
  if (form == Form::kElement) {
    for (size_t i = 0; i < phi.size(); ++i) {
      gradient[i] = static_cast<float>(exponent * Power(phi[i], exponent - 1) * gradient[i]);
    }
    return;
  }
  const std::vector<double> norms = Norms(partition, phi);
  std::vector<double> along(norms.size(), 0.0);  // <g, phi> / ||phi||
  ForEachElement(partition,
                 [&](size_t at, size_t block) { along[block] += double{gradient[at]} * phi[at]; });
  for (size_t block = 0; block < norms.size(); ++block) {
    along[block] = norms[block] == 0 ? 0 : along[block] / norms[block];
  }
  ForEachElement(partition, [&](size_t at, size_t block) {
    gradient[at] = static_cast<float>(norms[block] * gradient[at] + along[block] * phi[at]);
  });
}

void PowerParametrization::Invert(const BlockPartition& partition,
                                  absl::Span<float> weights) const {
  if (form == Form::kElement) {
    for (float& weight : weights) {
      weight = std::copysign(static_cast<float>(Power(weight, 1 / exponent)), weight);
    }
    return;
  }
  std::vector<float> factors;
  for (const double norm : Norms(partition, weights)) {
    factors.push_back(norm == 0 ? 0.0F : static_cast<float>(1 / std::sqrt(norm)));
  }
  partition.ScaleBlocks(factors, weights);
}

}  // namespace topiary
