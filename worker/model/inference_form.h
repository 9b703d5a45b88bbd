// A graph as it should be for inference, whatever it was trained as.
#ifndef TOPIARY_WORKER_MODEL_INFERENCE_FORM_H_
#define TOPIARY_WORKER_MODEL_INFERENCE_FORM_H_

#include "absl/status/statusor.h"
#include "worker/model/graph.h"

namespace topiary {

// A copy of `graph` in which each BatchNormalization has training_mode 0 and
// one output, and each Dropout drops nothing (no training_mode operand, no
// mask). Nodes and initializers that only served what was taken away
// are removed; everything else keeps its name and place.
//
// INVALID_ARGUMENT, naming the node, where the graph uses an output that does not
// exist in inference: the statistics of a BatchNormalization or the mask of a Dropout.
absl::StatusOr<Graph> InferenceForm(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_INFERENCE_FORM_H_
