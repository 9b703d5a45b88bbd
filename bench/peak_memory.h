// How much memory a training step takes: ours beside PyTorch's.
#ifndef TOPIARY_BENCH_PEAK_MEMORY_H_
#define TOPIARY_BENCH_PEAK_MEMORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/peer_steps.h"
#include "bench/rows.h"
#include "worker/engine/program.h"

namespace topiary {

struct PeakMemoryOptions : PeerOptions {
  // Of the reference models of the peer script.
  std::vector<std::string> models = {"resnet20", "resnet50", "ctr", "encoder", "decoder"};
};

// Rows "peak_memory/<model>": the peak resident size of a process that takes some steps of
// training, less that before the model is built, at the peer's batch size. Each side has a process
// of its own.
absl::StatusOr<BenchmarkRun> RunPeakMemory(const PeakMemoryOptions& options);

// Our side, for a process of its own: the same in bytes, of steps of the ONNX file at `path`.
absl::StatusOr<int64_t> StepMemory(const std::string& path, int64_t batch, LossKind loss,
                                   int threads);

}  // namespace topiary

#endif  // TOPIARY_BENCH_PEAK_MEMORY_H_
