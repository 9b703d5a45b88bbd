// Benchmark "whole-model": forward passes of pruned models beside other runtimes' dense ones.
#ifndef TOPIARY_BENCH_WHOLE_MODEL_H_
#define TOPIARY_BENCH_WHOLE_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/peer_steps.h"
#include "bench/rows.h"

namespace topiary {

struct WholeModelOptions : PeerOptions {
  std::vector<std::string> models = {"mlp", "encoder"};
  std::vector<int64_t> blocks = {32, 16};  // Square.
  double sparsity = 0.9;                   // Of the blocks of each layer that is pruned.
  std::string runtime_script = "bench/peers/infer_peer.py";
  int64_t batch = 16;
};

// For each model and block a row "<model>/<rows>x<cols>/<peer>": the block-compressed file in our
// runtime (worker/runtime) beside "dense", the same with the pruned blocks multiplied too, and
// beside each other runtime that runs here. The model is the reference model, its smallest blocks
// pruned in each layer of at least 100 of them, in inference form. Of a model of convolutions,
// whose layers have fewer, all layers but the first are pruned, and rows
// "<model>/<rows>x<cols>/100_blocks/<peer>" have what the rule of 100 blocks leaves.
// FAILED_PRECONDITION where another runtime computes other numbers from the same file.
absl::StatusOr<BenchmarkRun> RunWholeModel(const WholeModelOptions& options);

}  // namespace topiary

#endif  // TOPIARY_BENCH_WHOLE_MODEL_H_
