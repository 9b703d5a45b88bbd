// How the cost of a training step grows.
#ifndef TOPIARY_BENCH_GROWTH_H_
#define TOPIARY_BENCH_GROWTH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace topiary {

// A network of `depth` linear layers [width, width] with ReLU and one of ten classes.
struct GrowthPoint {
  int64_t batch = 256;
  int64_t width = 512;
  int64_t depth = 4;
  // Side of the blocks of the first layer, in the dense phase of SequentialAttention++; 0: without
  // a method.
  int64_t block = 0;
  int threads = 2;
};

struct GrowthCost {
  double seconds = 0;  // Of a step, the median of several.
  double bytes = 0;    // Peak resident size, less that before the model was built.
};

// In this process, which should be one of its own.
absl::StatusOr<GrowthCost> MeasureGrowthPoint(const GrowthPoint& point);

// Measures over batch, width, depth and number of blocks, each point in a process of its own, and
// writes the plots to `svg_path`. The table of what was measured.
absl::StatusOr<std::string> RunGrowth(int threads, const std::string& svg_path);

}  // namespace topiary

#endif  // TOPIARY_BENCH_GROWTH_H_
