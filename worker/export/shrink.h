// Takes the channels, neurons, heads and rows of embeddings that pruning emptied out of a network,
// so that any runtime computes less: a smaller dense network that computes the same.
#ifndef TOPIARY_WORKER_EXPORT_SHRINK_H_
#define TOPIARY_WORKER_EXPORT_SHRINK_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"
#include "worker/tensor/shape.h"

namespace topiary {

// A weight, bias or statistic that lost elements.
struct ShrunkTensor {
  std::string name;
  Shape before;
  Shape after;
};

struct ShrunkModel {
  Graph graph;
  // In the order of the graph's initializers; after them those that are gone, which have no
  // elements.
  std::vector<ShrunkTensor> tensors;
};

// The inference form of `graph` without the channels that no output depends on: those that nothing
// reads with a weight other than 0, and those that are constant because no weight that makes them
// is other than 0. The constant (a bias, and what BatchNormalization and activations make of it) is
// added to the biases of the layers that read the channel. Channels that are added, joined or
// grouped go together or stay together (see ChannelCoupling). A value of which nothing is left is
// left out of a Concat, with what makes it, as an embedding table. A channel stays where its
// constant cannot be added to a bias: before a padded convolution, whose edges do not see it, or a
// product of stacked matrices without a bias. Else one channel of every axis stays in any case.
//
// A head of attention is such a channel: queries, keys and values of it go when nothing reads what
// it gives, or when its values are all their bias, which the rows of a softmax, as they sum to 1,
// pass on. Heads that share a key go together.
//
// A summand that is constant goes with all that makes it, as a residual branch does whose last
// weights are 0: a sum with 0 goes too, another becomes a sum with an initializer.
//
// Outputs equal those of `graph` but for rounding where a constant was added to a bias. Names and
// order stay; a layer without a bias may get one ("NODE_OUTPUT.bias"), a sum an initializer
// ("SUMMAND.constant"), and a Reshape a new operand
// ("NODE_OUTPUT.shape") in place of nodes that computed it, which go. Declared shapes of values
// that became narrower are left out.
//
// `check`, unless empty, is asked between the steps of the work, and an error from it ends that.
// Other errors: those of InferenceForm() and InferShapes(). `input_shapes` as for InferShapes();
// the result does not depend on the batch.
absl::StatusOr<ShrunkModel> Shrink(const Graph& graph,
                                   const std::map<std::string, Shape>& input_shapes,
                                   const std::function<absl::Status()>& check = {});

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_SHRINK_H_
