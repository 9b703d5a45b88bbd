#include "worker/prune/schedule.h"

#include <algorithm>
#include <cmath>

namespace topiary {

double CubicSparsity(double initial_sparsity, double final_sparsity, double t) {
  const double left = 1.0 - std::clamp(t, 0.0, 1.0);
  const double weight = left * left * left;
  return initial_sparsity * weight + final_sparsity * (1.0 - weight);
}

double ExponentialSparsity(double final_sparsity, double c, double t) {
  t = std::clamp(t, 0.0, 1.0);
  if (c < 1e-9) return final_sparsity * t;
  // expm1 keeps the quotient exact for small c, and exactly 1 at t = 1.
  return final_sparsity * (std::expm1(-c * t) / std::expm1(-c));
}

}  // namespace topiary
