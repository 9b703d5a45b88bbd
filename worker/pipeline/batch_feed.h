#ifndef TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_
#define TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_

#include "worker/data/loader.h"
#include "worker/engine/program.h"

namespace topiary {

// Copies a batch into the input and label tensors of `program`, whose batch must be at least the
// batch's size; rows beyond it keep what they had. Class indices become int32.
void FeedBatch(const Batch& batch, const Program& program);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_BATCH_FEED_H_
