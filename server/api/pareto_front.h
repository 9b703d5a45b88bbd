#ifndef TOPIARY_SERVER_API_PARETO_FRONT_H_
#define TOPIARY_SERVER_API_PARETO_FRONT_H_

#include <limits>
#include <vector>

namespace topiary {

// What is weighed up between models. What is not known counts as the worst there is.
struct ModelMerit {
  double quality = -std::numeric_limits<double>::infinity();  // higher is better; never NaN
  double sparsity = 0;                                        // higher is better
  double bytes = std::numeric_limits<double>::infinity();     // fewer are better
};

// For each model whether it is on the Pareto front: it has a quality that is known, and no other
// one is at least as good in all three and better in one. Models that are alike are on it together.
std::vector<bool> ParetoFront(const std::vector<ModelMerit>& models);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_PARETO_FRONT_H_
