// Whether the examples of a batch know nothing of one another.
#ifndef TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_
#define TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_

#include <cstdint>

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// A graph whose shapes were inferred for a batch of so many examples.
struct InferredBatch {
  const InferredGraph& inferred;
  int64_t batch;
};

// Whether parts of a batch, each of `part.batch` examples, give what the whole gives, `whole.batch`
// (>= 2) of them: `graph`, an inference form, has the batch as the first axis of every input,
// output and value in between, no operator mixes what lies along it, and nothing else depends on
// its size. False where that cannot be told.
bool ExamplesAreIndependent(const Graph& graph, const InferredBatch& whole,
                            const InferredBatch& part);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_BATCH_INDEPENDENCE_H_
