#ifndef TOPIARY_WORKER_PRUNE_DENSE_METHOD_H_
#define TOPIARY_WORKER_PRUNE_DENSE_METHOD_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/prune/method.h"

namespace topiary {

struct DenseOptions {};

// Training without pruning: one dense phase of `total_steps` steps over no layers.
absl::StatusOr<std::unique_ptr<Method>> NewDenseMethod(int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_DENSE_METHOD_H_
