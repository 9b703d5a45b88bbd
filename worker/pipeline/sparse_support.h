#ifndef TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_
#define TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_

#include "worker/engine/program.h"
#include "worker/prune/method.h"

namespace topiary {

// The blocks that `method` keeps at the moment, of each weight for which that is WorthSkipping().
SparseWeights SupportWorthSkipping(const Method& method);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_
