#include "server/api/sweep_children.h"

#include <algorithm>
#include <limits>

namespace topiary {
namespace {

// Takes the digit of a list of `size` entries off `number`.
int TakeDigit(int size, int64_t* number) {
  if (size == 0) return -1;
  const int64_t digit = *number % size;
  *number /= size;
  return static_cast<int>(digit);
}

}  // namespace

int64_t CountCombinations(const v1::Sweep& sweep) {
  int64_t count = 1;
  for (const int64_t size :
       {sweep.methods_size(), sweep.blocks_size(), sweep.sparsities_size(), sweep.seeds_size()}) {
    if (size == 0) continue;
    if (count > std::numeric_limits<int64_t>::max() / size) {
      return std::numeric_limits<int64_t>::max();
    }
    count *= size;
  }
  return count;
}

SweepEntries EntriesOf(const v1::Sweep& sweep, int64_t number) {
  SweepEntries entries;
  entries.seed = TakeDigit(sweep.seeds_size(), &number);
  entries.sparsity = TakeDigit(sweep.sparsities_size(), &number);
  entries.block = TakeDigit(sweep.blocks_size(), &number);
  entries.method = TakeDigit(sweep.methods_size(), &number);
  return entries;
}

v1::CompressionSpec ChildSpec(const v1::CompressionSpec& common, const v1::Sweep& sweep,
                              const SweepEntries& entries) {
  v1::CompressionSpec child = common;
  // What it is merged from has a method and nothing else.
  if (entries.method >= 0) child.MergeFrom(sweep.methods(entries.method));
  if (entries.block >= 0) {
    const v1::Sweep::Block& block = sweep.blocks(entries.block);
    child.mutable_target()->set_block_rows(block.rows());
    child.mutable_target()->set_block_cols(block.cols());
  }
  if (entries.sparsity >= 0) {
    child.mutable_target()->set_sparsity(sweep.sparsities(entries.sparsity));
  }
  if (entries.seed >= 0) child.mutable_task()->set_seed(sweep.seeds(entries.seed));
  return child;
}

}  // namespace topiary
