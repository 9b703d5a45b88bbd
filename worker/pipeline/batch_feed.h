#ifndef TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_
#define TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/data/loader.h"
#include "worker/engine/program.h"
#include "worker/model/graph.h"

namespace topiary {

// Copies the inputs of a batch into those of a program, whose batch must be at least the batch's
// size; rows beyond it keep what they had.
void FeedInputs(const Batch& batch, absl::Span<const StagedTensor> inputs);

// The same with the labels, into a program with a loss. Class indices become int32.
void FeedBatch(const Batch& batch, const Program& program);

// Labels, metrics and predictions take each example's part of the first output by itself, and data
// are checked against the output of one example. INVALID_ARGUMENT where the output of `program`,
// built from `graph`, is not shaped so: its first axis must be the batch, and no other may depend
// on it, as it does after a Flatten of axis 0.
absl::Status CheckOutputPerExample(const Graph& graph, const Program& program);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_
