// Making runs (worker/kernels/op_description.h): which block each element of a weight is in.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_RUNS_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_RUNS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "worker/kernels/op_description.h"
#include "worker/tensor/shape.h"

namespace topiary {

// Sorts runs by offset and joins each to the one before it where it simply goes on.
void SortAndJoin(std::vector<BlockRun>* runs);

// Runs of the slices of a tensor across `axis`: the elements at index i are in block blocks[i],
// one entry per index; in no run where that is negative. Sorted by offset.
std::vector<BlockRun> RunsOfSlices(const Shape& shape, int axis, absl::Span<const int> blocks);

// How many of them are made at the most, of which neighbours are then joined.
int64_t CountRunsOfSlices(const Shape& shape, int axis, absl::Span<const int> blocks);

// The same as RunsOfSlices() where row i of a matrix is block i, in no more memory than the runs
// take: tables have very many rows.
std::vector<BlockRun> RunsOfRows(int32_t rows, int64_t width);

// Runs in block `block` of the elements of a tensor of `size` elements that are in none of `runs`,
// which are sorted by offset and have no element twice.
std::vector<BlockRun> RunsOfRest(absl::Span<const BlockRun> runs, int64_t size, int32_t block);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_RUNS_H_
