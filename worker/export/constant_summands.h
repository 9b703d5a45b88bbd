// Summands that are the same whatever the network is given, as what a pruned branch adds.
#ifndef TOPIARY_WORKER_EXPORT_CONSTANT_SUMMANDS_H_
#define TOPIARY_WORKER_EXPORT_CONSTANT_SUMMANDS_H_

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// Takes the nodes out of an inference graph that only make a summand whose elements are known
// (constant_channels.h), with all that only serves them, and returns whether there were any. A sum
// with 0 goes too, where its other operand has the sum's shape; the graph's outputs keep their
// names, an Identity in place of the sum. Another summand becomes an initializer,
// "SUMMAND.constant", unless it is what gives the sum its shape. `other` is InferShapes() at
// another batch, null where the graph has but one.
bool TakeConstantSummandsOut(const InferredGraph& inferred, const InferredGraph* other,
                             Graph* graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_CONSTANT_SUMMANDS_H_
