#include "worker/kernels/cpu/block_chunks.h"

#include <utility>

#include "worker/kernels/cpu/simd_kernels.h"

namespace topiary {
namespace {

// Sizes of chunks that fit a core's first cache beside what is worked on, in elements.
constexpr int64_t kUsualChunk = 2048;
constexpr int64_t kLongestRow = 8192;
constexpr int64_t kShortestRow = 128;

int64_t EndOf(const BlockRun& run) { return run.offset + int64_t{run.length - 1} * run.stride + 1; }

// Whether the runs before `next` leave nothing open: all elements before its offset are covered.
bool StartsAfresh(const std::vector<BlockRun>& runs, size_t next, int64_t end) {
  return next == runs.size() || runs[next].offset >= end;
}

// Elements of the first row, if the first block comes again at a place where a row may end: that is
// where the second begins. 0 otherwise.
int64_t RowLength(const std::vector<BlockRun>& runs) {
  int64_t end = 0;
  for (size_t i = 0; i < runs.size() && runs[i].offset <= kLongestRow; ++i) {
    if (i > 0 && runs[i].block == runs[0].block && StartsAfresh(runs, i, end)) {
      return runs[i].offset >= kShortestRow ? runs[i].offset : 0;
    }
    end = std::max(end, EndOf(runs[i]));
  }
  return 0;
}

bool Alike(const std::vector<BlockRun>& runs, const BlockChunk& a, const BlockChunk& b) {
  if (a.last_run - a.first_run != b.last_run - b.first_run) return false;
  for (int64_t i = 0; i < a.last_run - a.first_run; ++i) {
    const BlockRun &x = runs[a.first_run + i], &y = runs[b.first_run + i];
    if (x.offset - a.begin != y.offset - b.begin || x.length != y.length || x.stride != y.stride ||
        x.block != y.block || x.block_step != y.block_step) {
      return false;
    }
  }
  return true;
}

}  // namespace

BlockChunks::BlockChunks(std::shared_ptr<const BlockRuns> block_runs)
    : runs_(std::move(block_runs)) {
  const std::vector<BlockRun>& all = runs_->runs;
  const int64_t row = RowLength(all);
  const int64_t wanted = row > 0 ? row : kUsualChunk;
  int64_t largest = 0;
  BlockChunk open;
  for (size_t i = 0; i < all.size(); ++i) {
    open.last_run = static_cast<int64_t>(i) + 1;
    open.end = std::max(open.end, EndOf(all[i]));
    const bool last = i + 1 == all.size();
    if (!last && (!StartsAfresh(all, i + 1, open.end) || open.end - open.begin < wanted)) continue;
    open.like_previous = !chunks_.empty() && Alike(all, chunks_.back(), open);
    chunks_.push_back(open);
    largest = std::max(largest, open.end - open.begin);
    open = {open.last_run, open.last_run, open.end, open.end, false};
  }
  array_size_ = (largest + kExpandSlack + 15) / 16 * 16;
}

}  // namespace topiary
