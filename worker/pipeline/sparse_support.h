#ifndef TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_
#define TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_

#include "worker/engine/program.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/prune/method.h"

namespace topiary {

// Whether a training step that leaves out the pruned blocks of a weight is faster than a dense one:
// from half of the blocks pruned where they are 8 or more wide and high, from three quarters where
// 4, and from nine tenths where they are narrower (docs/results.md, block-sparse-layer).
bool WorthSkipping(const BlockSparsePattern& pattern);

// The blocks that `method` keeps at the moment, of each weight of a Gemm or MatMul that is
// WorthSkipping().
SparseWeights SupportWorthSkipping(const Method& method);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_SPARSE_SUPPORT_H_
