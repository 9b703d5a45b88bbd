// Whether the examples of a batch know nothing of one another.
#ifndef TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_
#define TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_

#include <cstdint>

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// Whether `graph`, an inference form whose shapes were inferred for a batch of `batch` (>= 2), has
// the batch as the first axis of every input, output and value in between, and no operator that
// mixes what lies along it: then examples may run in any parts of the batch, with the same results.
// False where that cannot be told.
bool ExamplesAreIndependent(const Graph& graph, const InferredGraph& inferred, int64_t batch);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_
