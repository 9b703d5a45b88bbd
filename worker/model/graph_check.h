#ifndef TOPIARY_WORKER_MODEL_GRAPH_CHECK_H_
#define TOPIARY_WORKER_MODEL_GRAPH_CHECK_H_

#include "absl/status/status.h"
#include "worker/model/graph.h"

namespace topiary {

// Whether `graph` is well formed, as graph.h promises: every value is produced once, before it is
// used, names are not empty, there is at least one output, and every output exists.
// INVALID_ARGUMENT naming the value and the node; a cycle is told apart from a wrong order.
absl::Status CheckGraph(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_GRAPH_CHECK_H_
