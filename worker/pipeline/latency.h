// How fast a model is on this machine: the proof that pruning was worth it.
#ifndef TOPIARY_WORKER_PIPELINE_LATENCY_H_
#define TOPIARY_WORKER_PIPELINE_LATENCY_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/data/dataset.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/program.h"
#include "worker/export/report.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"

namespace topiary {

// Writes examples into the inputs of a program, all of its batch.
using InputFiller = std::function<void(absl::Span<const StagedTensor>)>;

struct LatencyOptions {
  int64_t batch = 1;
  bool by_node = false;  // Also the time of each node.
};

// Times forward passes of `model` in inference mode: with all weights dense and, where that pays
// for any of them by `costs`, with no other blocks of the weights in `kept` than those. The two run
// in turns, so that what else happens on the machine meets both alike: at least 5 times each, then
// as often as fits into a second, at most 200 times.
//
// Both get what they want: weights are laid out before the clock starts. `check` is asked before
// each run; an error from it ends the measurement. Other errors as Program::Build().
absl::StatusOr<LatencyReport> MeasureLatency(const Graph& model, const SparseWeights& kept,
                                             LayerCostSource* costs, Backend* backend,
                                             const LatencyOptions& options, const InputFiller& fill,
                                             const std::function<absl::Status()>& check);

// The same on examples of `data`; rows beyond its size are 0.
absl::StatusOr<LatencyReport> MeasureLatency(const Graph& model, const SparseWeights& kept,
                                             LayerCostSource* costs, Backend* backend,
                                             const Dataset& data, int64_t batch,
                                             const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_LATENCY_H_
