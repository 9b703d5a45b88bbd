// Lays buffers of known lifetimes out in one arena.
#ifndef TOPIARY_WORKER_ENGINE_MEMORY_PLAN_H_
#define TOPIARY_WORKER_ENGINE_MEMORY_PLAN_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace topiary {

// A buffer that is first written by step `first` and last used by step `last` >= first, both
// included.
struct MemoryRequest {
  size_t bytes = 0;
  int first = 0;
  int last = 0;
};

// Step `step` may write request `written` over request `read`.
struct InPlaceRequest {
  int step = 0;
  int read = 0;
  int written = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // Of each request, multiples of 64.
  size_t arena_bytes = 0;
};

// Two requests whose lifetimes meet in a step never overlap, except where one was written over
// the other by `in_place`, which is done only where the memory that is taken over is not used after
// the step, is large enough, and was not already taken over. In the order of `in_place`. Greedy by
// size; deterministic. O(n^2) in the number of requests.
MemoryPlan PlanMemory(absl::Span<const MemoryRequest> requests,
                      absl::Span<const InPlaceRequest> in_place);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_MEMORY_PLAN_H_
