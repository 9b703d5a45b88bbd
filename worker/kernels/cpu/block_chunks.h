// Cuts a weight that is divided in blocks into stretches of memory to be worked on one by one.
#ifndef TOPIARY_WORKER_KERNELS_CPU_BLOCK_CHUNKS_H_
#define TOPIARY_WORKER_KERNELS_CPU_BLOCK_CHUNKS_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "worker/kernels/op_description.h"

namespace topiary {

// The runs [first_run, last_run) cover exactly the elements [begin, end).
struct BlockChunk {
  int64_t first_run = 0;
  int64_t last_run = 0;
  int64_t begin = 0;
  int64_t end = 0;
  // The same blocks lie at the same places as in the chunk before: what was made of the blocks
  // there, such as the scale of each element, holds here too.
  bool like_previous = false;
};

// Where rows of a weight repeat the blocks of the row before, as they do within a row of blocks, a
// chunk is such a row; otherwise it is a few thousand elements. Strided runs that
// interleave are never cut. Immutable, so thread-safe.
class BlockChunks {
 public:
  explicit BlockChunks(std::shared_ptr<const BlockRuns> runs);

  const BlockRuns& runs() const { return *runs_; }
  int64_t size() const { return static_cast<int64_t>(chunks_.size()); }
  const BlockChunk& at(int64_t i) const { return chunks_[i]; }

  // Whether a block may have elements in several chunks that are not alike.
  bool BlocksSpanChunks() const {
    return !chunks_.empty() && runs_->block_count < chunks_.back().end;
  }

  // Floats of an array with one for each element of a chunk, with kExpandSlack to spare, rounded up
  // to cache lines.
  int64_t array_size() const { return array_size_; }

  // Chunks that have about `elements` elements.
  int64_t Grain(int64_t elements) const {
    const int64_t all = chunks_.empty() ? 1 : std::max<int64_t>(1, chunks_.back().end);
    return std::max<int64_t>(1, elements * size() / all);
  }

 private:
  std::shared_ptr<const BlockRuns> runs_;
  std::vector<BlockChunk> chunks_;
  int64_t array_size_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_BLOCK_CHUNKS_H_
