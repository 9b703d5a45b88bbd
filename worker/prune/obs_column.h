// Optimal Brain Surgeon over one column of blocks: outputs that read the same inputs until the end.
#ifndef TOPIARY_WORKER_PRUNE_OBS_COLUMN_H_
#define TOPIARY_WORKER_PRUNE_OBS_COLUMN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/prune/cholesky.h"

namespace topiary {

// A removal: which row of blocks went, and what that cost.
struct ObsRemoval {
  int64_t row = 0;
  double cost = 0;
};

// Removes rows of blocks, `block_rows` inputs each (the last may have fewer), one by one until none
// is left, each time the one of least cost (the lower one of two that cost the same). Reuses its
// memory from column to column. One thread at a time.
class ObsColumn {
 public:
  // `inputs` of at most `outputs` outputs.
  ObsColumn(int64_t inputs, int64_t outputs, int64_t block_rows);

  // `inverse` is that of H, [inputs, inputs]; `weights` has `outputs` rows of the inputs' weights.
  // `check` is asked before each removal; an error from it ends them.
  absl::StatusOr<std::vector<ObsRemoval>> RemoveAll(absl::Span<const double> inverse,
                                                    absl::Span<const double> weights,
                                                    int64_t outputs, const WorkCheck& check);

 private:
  // A row of blocks that is left: its inputs are [begin, begin + size) of the matrix as it is.
  struct Group {
    int64_t row = 0;
    int64_t begin = 0;
    int64_t size = 0;
    bool removed = false;
  };

  // The block's part of h_, factored into factor_; false where rounding has left nothing of it.
  bool Factor(const Group& group);
  // Needs Factor(); leaves L^-1 w_b in solved_.
  double Cost(const Group& group);
  void Remove(const Group& group);
  // Leaves out what was removed.
  void Compact();

  const int64_t block_rows_;
  const int64_t capacity_;
  int64_t size_ = 0;     // Of h_, in rows: its stride too.
  int64_t outputs_ = 0;  // Of weights_.
  std::vector<Group> groups_;
  std::vector<double> h_;        // The inverse, restricted: the lower triangle counts.
  std::vector<double> weights_;  // [size_][outputs_].
  std::vector<double> factor_;   // [size of a block]^2.
  std::vector<double> solved_;   // [size of a block][outputs_].
  std::vector<double> columns_;  // [size_][size of a block]: (H^-1)_:b L^-T,
  std::vector<double> rows_;     // and its transposition.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_OBS_COLUMN_H_
