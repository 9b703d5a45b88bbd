// What a Reshape must be told once channels are gone.
#ifndef TOPIARY_WORKER_EXPORT_RESHAPE_TARGETS_H_
#define TOPIARY_WORKER_EXPORT_RESHAPE_TARGETS_H_

#include <cstdint>
#include <vector>

#include "absl/types/optional.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// The second operand of a Reshape of values with channels when `extent` channels are left of its
// result. What the file says in numbers, or as 0 and -1, stays but for the channels; what it
// computes from extents becomes numbers, which are read off `inferred`, 0 for extents that the
// Reshape does not change, and -1 for a first extent that depends on the batch.
//
// `other` is the graph's inference for another batch, null where the graph allows only one. nullopt
// where the numbers would not do for both batches, or where the channels are elsewhere for the
// other. A Flatten, which needs no operand, gets an empty one.
absl::optional<std::vector<int64_t>> NarrowedTarget(const Graph& graph,
                                                    const InferredGraph& inferred,
                                                    const InferredGraph* other,
                                                    const ReshapedChannels& reshape,
                                                    int64_t extent);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_RESHAPE_TARGETS_H_
