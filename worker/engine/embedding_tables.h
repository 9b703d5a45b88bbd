#ifndef TOPIARY_WORKER_ENGINE_EMBEDDING_TABLES_H_
#define TOPIARY_WORKER_ENGINE_EMBEDDING_TABLES_H_

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "worker/kernels/op_description.h"
#include "worker/model/graph.h"

namespace topiary {

// Tables of fewer elements are updated whole: that takes microseconds.
inline constexpr int64_t kSmallestSparseTable = int64_t{1} << 16;

// The matrices [rows, width] of `graph`, of a width of at least 4, whose rows a Gather picks and
// which nothing else reads, of at least `smallest` elements: their gradients are 0 but in the rows
// that were picked. Errors as those of InferShapes().
absl::StatusOr<std::set<std::string>> FindEmbeddingTables(const Graph& graph,
                                                          int64_t smallest = kSmallestSparseTable);

// Whether rows without a gradient can catch up with the updates of such an optimizer later: SGD
// without decay. Clipping needs the norm of all gradients at once.
bool CanUpdateRowsLater(OptimizerKind kind, float weight_decay, bool clips_gradients);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_EMBEDDING_TABLES_H_
