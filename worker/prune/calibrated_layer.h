// A layer as the methods see it that prune by calibration data alone: its weights, what they are
// multiplied with, and how far it is to be pruned.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATED_LAYER_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATED_LAYER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/kernels/backend.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/n_of_m.h"
#include "worker/prune/support.h"

namespace topiary {

// What the options of every method have that prunes by calibration data.
struct CalibrationOptions {
  // Of the training set, drawn by the job's seed; all of them where there are fewer.
  int64_t examples = 1024;
};

// All of it outlives the call that it is given to.
struct CalibratedLayer {
  std::shared_ptr<const BlockPartition> partition;
  double sparsity = 0;                        // Part of its blocks to be pruned, in [0, 1).
  std::optional<NOfM> n_of_m = std::nullopt;  // As PruningTarget::n_of_m.
  // The blocks are candidates of a group (group_choice.h): all compete, few as they are.
  bool is_group = false;
  // The mean over samples of x x^T, x the inputs of matrix `group`: K x K, symmetric; or, for a
  // method that needs no more, of each x_k^2: K numbers.
  std::function<std::vector<double>(int64_t group)> moments;
  // As stored. Changed: pruned blocks become +0, others what the method makes of them.
  absl::Span<float> weight;
  // Whose threads do what can be done in parallel, with the same bits whatever their number.
  Backend* backend = nullptr;
  // Asked now and then; an error ends the call, which then has changed nothing that counts.
  std::function<absl::Status()> check = [] { return absl::OkStatus(); };

  const PrunableLayer& layer() const { return partition->layer(); }
  int64_t kept_blocks() const {
    return n_of_m.has_value() ? KeptElements(*partition, *n_of_m)
                              : KeptBlocks(sparsity, partition->block_count());
  }
};

// Matrix `group` of a weight as [outputs][K], in double: a row for each output.
std::vector<double> ReadOutputs(const PrunableLayer& layer, int64_t group,
                                absl::Span<const float> weight);
// The way back.
void WriteOutputs(const PrunableLayer& layer, int64_t group, absl::Span<const double> outputs,
                  absl::Span<float> weight);

// As Backend::OnEachThread(), but what `body` throws on any thread, where nobody would catch it, is
// thrown again on the caller's once all have ended: memory may be short on each of them.
void OnEachThread(Backend* backend, const std::function<void(int)>& body);

// Calls body(i) for each i in [0, items), spread over the threads of `backend` (null: on the
// caller's alone); which one does what must not matter. Throws what `body` throws.
void ForEachInParallel(Backend* backend, int64_t items, const std::function<void(int64_t)>& body);

// The `keep` blocks of highest score, as many of each column of blocks (the outputs that a block
// reaches, of one matrix) as of any other, or one more where that does not come out even. Equal
// scores go to the lower index.
Support SelectWithinOutputs(const BlockPartition& partition, absl::Span<const float> scores,
                            int64_t keep);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATED_LAYER_H_
