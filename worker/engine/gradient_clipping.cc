#include "worker/engine/gradient_clipping.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace topiary {

float ClipFactor(double norm, double max_norm) {
  if (!std::isfinite(norm)) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6)));
}

}  // namespace topiary
