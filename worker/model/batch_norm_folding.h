// Makes BatchNormalization part of the convolutions before it, for models that only run.
#ifndef TOPIARY_WORKER_MODEL_BATCH_NORM_FOLDING_H_
#define TOPIARY_WORKER_MODEL_BATCH_NORM_FOLDING_H_

#include "worker/model/graph.h"

namespace topiary {

// `graph`, an inference form, without each BatchNormalization that alone reads the result of a Conv
// whose weight nobody else has: with s = scale / sqrt(variance + epsilon) the convolution's weights
// become s * weight, and its bias s * (bias - mean) + bias of the normalization, channel by
// channel. Results differ in their last places; blocks that are 0 stay 0. What is not understood
// stays as it is.
Graph FoldBatchNormalization(Graph graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_BATCH_NORM_FOLDING_H_
