#ifndef TOPIARY_WORKER_MODEL_GLOBAL_MEANS_H_
#define TOPIARY_WORKER_MODEL_GLOBAL_MEANS_H_

#include "worker/model/graph.h"

namespace topiary {

// Turns each ReduceMean over exactly the spatial axes of a value [n, c, l] or [n, c, h, w] into the
// GlobalAveragePool it is (followed by a Flatten where the axes are not kept): PyTorch's exporter
// writes nn.AdaptiveAvgPool2d(1) as ReduceMean. Values keep their names. A ReduceMean whose operand
// has no declared rank, or over other axes, is left as it is.
void RewriteGlobalMeans(Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_GLOBAL_MEANS_H_
