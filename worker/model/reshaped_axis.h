// Where the elements along one axis of a value are after a Reshape.
#ifndef TOPIARY_WORKER_MODEL_RESHAPED_AXIS_H_
#define TOPIARY_WORKER_MODEL_RESHAPED_AXIS_H_

#include <cstdint>

#include "absl/types/optional.h"
#include "worker/tensor/shape.h"

namespace topiary {

// Axes [src_begin, src_end) become axes [dst_begin, dst_end): as many elements, in the same order,
// with as many before and after them.
struct ReshapedBlock {
  int src_begin = 0;
  int src_end = 0;
  int dst_begin = 0;
  int dst_end = 0;
};

// The smallest block with axes [begin, end) of `src`. nullopt where the shapes have no elements, or
// not as many.
absl::optional<ReshapedBlock> FindReshapedBlock(const Shape& src, int begin, int end,
                                                const Shape& dst);

// An axis whose every index holds what some indices of another axis held: as many indices become
// one (`src_per_dst` > 1) or one becomes as many (`dst_per_src` > 1), and where `repeats` > 1 the
// indices of dst are run through as often: dst index of src index s = s / src_per_dst % extent.
// Where `copies` > 1 axes before the axis were joined with it, and src index s is at the dst
// indices s, s + src extent, s + 2 * src extent, ..., as many.
struct ReshapedAxis {
  int axis = 0;  // Of dst.
  int64_t src_per_dst = 1;
  int64_t dst_per_src = 1;
  int64_t repeats = 1;
  int64_t copies = 1;
};

// Where `axis` of `src` is in `dst`: the first axis of what it is split into after `skipped` ones,
// or the one that it is the first or, where nothing is skipped, the last part of. nullopt where
// there is none.
absl::optional<ReshapedAxis> FindReshapedAxis(const Shape& src, int axis, const Shape& dst,
                                              int skipped);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_RESHAPED_AXIS_H_
