// Benchmark "whole-model": forward passes of pruned models beside other runtimes' dense ones.
#ifndef TOPIARY_BENCH_WHOLE_MODEL_H_
#define TOPIARY_BENCH_WHOLE_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/rows.h"

namespace topiary {

struct WholeModelOptions {
  std::vector<std::string> models = {"mlp", "encoder"};
  std::vector<int64_t> blocks = {32, 16};  // Square.
  double sparsity = 0.9;                   // Of the blocks of each layer of at least 100.
  std::string python = "python3";          // With PyTorch, ONNX Runtime and OpenVINO.
  std::string peer_script = "bench/peers/torch_peer.py";
  std::string runtime_script = "bench/peers/infer_peer.py";
  std::string work_dir = "out/bench";  // Models and batches; must exist.
  int64_t batch = 16;
  int threads = 2;
  int pairs = 9;
  double seconds_per_side = 0.3;  // Of each of a pair.
};

// For each model and block a row "<model>/<rows>x<cols>/<peer>": the block-compressed file in our
// runtime (worker/runtime) beside "dense", the same with the pruned blocks multiplied too, and
// beside each other runtime that runs here. The model is the reference model, its smallest blocks
// pruned, in inference form. FAILED_PRECONDITION where another runtime computes other numbers from
// the same file.
absl::StatusOr<BenchmarkRun> RunWholeModel(const WholeModelOptions& options);

}  // namespace topiary

#endif  // TOPIARY_BENCH_WHOLE_MODEL_H_
