// Benchmark "training-step": a training step of the reference models beside PyTorch's.
#ifndef TOPIARY_BENCH_TRAINING_STEP_H_
#define TOPIARY_BENCH_TRAINING_STEP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/peer_steps.h"
#include "bench/rows.h"

namespace topiary {

struct TrainingStepOptions : PeerOptions {
  std::vector<std::string> models = {"mlp", "sa_mlp",  "resnet20", "resnet50",
                                     "ctr", "encoder", "decoder"};
};

// For each model a row "<model>/f32" against the faster of PyTorch eager and compiled, and rows
// with our dense f32 step as peer: "<model>/bf16" with products of bfloat16, where the processor
// has it; of our step in SequentialAttention++, "sa_pp_overhead/<model>" in its dense phase, and
// "sa_pp_sparse_phase/<model>" in its sparse phase at 90 % with blocks of 32x32.
// The peer writes model and batch, so that both sides do the same work on the same numbers;
// FAILED_PRECONDITION where their first losses differ.
absl::StatusOr<BenchmarkRun> RunTrainingStep(const TrainingStepOptions& options);

}  // namespace topiary

#endif  // TOPIARY_BENCH_TRAINING_STEP_H_
