#ifndef TOPIARY_SERVER_API_SWEEP_CHILDREN_H_
#define TOPIARY_SERVER_API_SWEEP_CHILDREN_H_

#include <cstdint>

#include "topiary/v1/spec.pb.h"

// The combinations that a sweep (proto/topiary/v1/spec.proto) stands for. They are numbered with
// the seeds changing fastest, then sparsities, blocks and methods.
namespace topiary {

inline constexpr int kMinSweepChildren = 2;
inline constexpr int kMaxSweepChildren = 1000;
// Of the specs of all children.
inline constexpr int64_t kMaxSweepBytes = int64_t{16} << 20;

// Which entry of each list a child has; -1 where the list is empty.
struct SweepEntries {
  int method = -1;
  int block = -1;
  int sparsity = -1;
  int seed = -1;
};

// How many combinations there are: 1 where all lists are empty, at most INT64_MAX.
int64_t CountCombinations(const v1::Sweep& sweep);

// The entries of combination `number`, from 0, below CountCombinations().
SweepEntries EntriesOf(const v1::Sweep& sweep, int64_t number);

// The spec of the child with these entries, without defaults. `common` is the sweep's own spec
// without `sweep`.
v1::CompressionSpec ChildSpec(const v1::CompressionSpec& common, const v1::Sweep& sweep,
                              const SweepEntries& entries);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SWEEP_CHILDREN_H_
