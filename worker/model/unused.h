// Takes away what a graph does not need any more after an edit.
#ifndef TOPIARY_WORKER_MODEL_UNUSED_H_
#define TOPIARY_WORKER_MODEL_UNUSED_H_

#include <set>
#include <string>

#include "worker/model/graph.h"

namespace topiary {

// Of the values in `left`, those that neither a node nor the caller reads go, with the nodes that
// only made them, and whatever only served those: nodes, initializers and declared shapes. The rest
// keeps its order. Values that nothing read before the edit stay unless they are in `left`.
void RemoveUnused(const std::set<std::string>& left, Graph* graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_UNUSED_H_
