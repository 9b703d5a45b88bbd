#include "worker/prune/schedule.h"

#include <algorithm>
#include <cmath>

namespace topiary {

double CubicSparsity(double initial_sparsity, double final_sparsity, double t) {
  const double left = 1.0 - std::clamp(t, 0.0, 1.0);
  const double weight = left * left * left;
  return initial_sparsity * weight + final_sparsity * (1.0 - weight);
}

double IterativeSparsity(double final_sparsity, int64_t rounds, double t) {
  const auto count = static_cast<double>(rounds);
  // The small term makes up for products as 10 * 0.3, which are slightly more than they should be.
  const double round = std::ceil(count * std::clamp(t, 0.0, 1.0) - 1e-9);
  if (round >= count) return final_sparsity;
  return 1.0 - std::pow(1.0 - final_sparsity, std::max(round, 0.0) / count);
}

double ExponentialSparsity(double final_sparsity, double c, double t) {
  t = std::clamp(t, 0.0, 1.0);
  if (c < 1e-9) return final_sparsity * t;
  // expm1 keeps the quotient exact for small c, and exactly 1 at t = 1.
  return final_sparsity * (std::expm1(-c * t) / std::expm1(-c));
}

}  // namespace topiary
