// Group lasso (Yuan & Lin, "Model selection and estimation in regression with grouped variables",
// 2006) with blocks as groups.
#ifndef TOPIARY_WORKER_PRUNE_GROUP_LASSO_H_
#define TOPIARY_WORKER_PRUNE_GROUP_LASSO_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct GroupLassoOptions {
  // lambda; > 0.
  double strength = 1e-3;
  // The part of the run with the penalty; in (0, 1).
  double end_fraction = 0.7;
};

// Training with the penalty lambda sum_b sqrt(n_b) ||W_b||_F, n_b being the elements of block b, by
// proximal steps: after each update, with its learning rate eta,
//   W_b <- max(0, 1 - eta lambda sqrt(n_b) / ||W_b||) W_b
// (Parikh & Boyd, "Proximal Algorithms", 2014, section 6.5), under which whole blocks become 0.
// At `end_fraction` the blocks of largest norm are kept, and trained without the penalty.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewGroupLasso(const GroupLassoOptions& options,
                                                      const PruningTarget& target,
                                                      std::vector<MethodLayer> layers,
                                                      int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_GROUP_LASSO_H_
