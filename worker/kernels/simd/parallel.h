// Splits loops over the threads of a backend, always the same way.
#ifndef TOPIARY_WORKER_KERNELS_SIMD_PARALLEL_H_
#define TOPIARY_WORKER_KERNELS_SIMD_PARALLEL_H_

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace topiary {

// Makes OpenMP regions that the calling thread starts, oneDNN's among them, use exactly
// `threads` threads. The setting belongs to the calling thread and costs nanoseconds.
inline void UseThreads(int threads) {
  if (omp_get_dynamic() != 0) omp_set_dynamic(0);
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

// [begin, end) of part `index` of `parts` of [0, n), cut at multiples of `multiple`.
struct Range {
  int64_t begin;
  int64_t end;
};
inline Range PartOf(int64_t n, int64_t multiple, int index, int parts) {
  const int64_t units = (n + multiple - 1) / multiple;
  return {std::min(n, units * index / parts * multiple),
          std::min(n, units * (index + 1) / parts * multiple)};
}

// How many threads work on `n` items: all of `threads`, or one where there is less than
// twice `grain` to do. A function of its arguments, so that sums come out the same each time.
inline int TeamSize(int threads, int64_t n, int64_t grain) { return n < 2 * grain ? 1 : threads; }

// Calls body(begin, end, part) for TeamSize() parts of [0, n), each on its own thread. Parts may be
// empty. Teams never have another size, because GNU OpenMP then makes its threads anew.
template <typename Body>
void ParallelFor(int threads, int64_t n, int64_t grain, int64_t multiple, Body body) {
  const int team = TeamSize(threads, n, grain);
  if (team == 1) {
    body(int64_t{0}, n, 0);
    return;
  }
  UseThreads(threads);
#pragma omp parallel num_threads(team)
  {
    const int part = omp_get_thread_num();
    const Range range = PartOf(n, multiple, part, team);
    body(range.begin, range.end, part);
  }
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_SIMD_PARALLEL_H_
