// Which elements Dropout keeps: a function of counters alone, so that the backward pass
// draws the same mask again and a resumed job the same as an undisturbed one.
#ifndef TOPIARY_WORKER_KERNELS_DROPOUT_MASK_H_
#define TOPIARY_WORKER_KERNELS_DROPOUT_MASK_H_

#include <cstdint>

#include "absl/types/span.h"
#include "worker/kernels/op_description.h"

namespace topiary {

// Factors of the elements `first` .. `first` + factors.size() - 1 in row-major order: 1 / (1 -
// ratio) for one that is kept, 0 for one that is not. `first` must be a multiple of 4. Element i
// takes 32-bit word i of the Philox stream keyed by (seed, kStreamDropout and the node, step) and
// is kept where the word is at least ratio * 2^32.
void DropoutFactors(const DropoutParameters& parameters, int64_t first, absl::Span<float> factors);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_DROPOUT_MASK_H_
