// Small whole networks for tests and what they exercise together. Tests only.
#ifndef TOPIARY_WORKER_ENGINE_TESTING_NETWORKS_H_
#define TOPIARY_WORKER_ENGINE_TESTING_NETWORKS_H_

#include <cstdint>
#include <vector>

#include "worker/engine/testing/gradient_case.h"

namespace topiary {

// Two residual blocks (the second strided, with a 1x1 convolution on its skip path), batch
// normalization, max pooling, a grouped convolution, global pooling and a classifier of 10 classes.
// `channels` is that of the first block; images are [3, 12, 12].
GradientCase ResidualNetwork(int64_t channels, int64_t batch);

// Branches of 16 and 32 channels that meet in a Concat, then a convolution and a classifier.
GradientCase BranchedNetwork(int64_t batch);

// 784 -> 64 -> 10 with Relu.
GradientCase Perceptron(int64_t batch);

// Attention of three heads over five places, with a scale and a mask that hides later places, as
// exporters write it. `back` is the permutation of the last Transpose, whose result is the output;
// the softmax is "weights". The mask is a constant, or an initializer, which training changes.
enum class AttentionMask { kConstant, kTrained };
GradientGraph AttentionGraph(const std::vector<int64_t>& back = {0, 2, 1, 3},
                             AttentionMask mask = AttentionMask::kConstant);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_TESTING_NETWORKS_H_
