// Our side of a training step: a model on a resident batch.
#ifndef TOPIARY_BENCH_TRAIN_STEPPER_H_
#define TOPIARY_BENCH_TRAIN_STEPPER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/block_scaling.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/prune/method.h"

namespace topiary {

// What the peers' step is too: forward, loss, backward, SGD with learning rate 0.01 and
// momentum 0.9. With a method, a step of SequentialAttention++: besides, block scales from the
// logits, effective weights, inner products, the logits' update. One thread at a time. The backend
// outlives it.
class TrainStepper {
 public:
  struct Options {
    int64_t batch = 1;
    enum class Method {
      kNone,
      kDensePhase,   // With the method's defaults.
      kSparsePhase,  // 90 % of the blocks of 32x32 pruned, which ones is drawn by chance.
    };
    Method method = Method::kNone;
    LossKind loss = LossKind::kSoftmaxCrossEntropy;
    // Of kDensePhase: the side of blocks, however few a layer has; 0: the defaults.
    int64_t block = 0;
    std::vector<std::string> exclude_layers;
  };
  static absl::StatusOr<std::unique_ptr<TrainStepper>> Create(Graph graph, Backend* backend,
                                                              const Options& options);

  // Copies raw bytes into the inputs, one after the other, and the labels.
  // INVALID_ARGUMENT where their sizes differ.
  absl::Status SetBatch(const std::string& inputs, const std::string& labels);

  // Ids become random, other inputs and labels 0.
  void FillBatch();

  void Step();
  float loss() const { return program_->loss(); }
  const ProgramStatistics& statistics() const { return program_->statistics(); }

 private:
  TrainStepper() = default;
  absl::Status CreateMethod(const Graph& graph, const Options& options);
  absl::StatusOr<SparseWeights> WeightsWorthSkipping(const Graph& graph, Backend* backend,
                                                     int64_t batch) const;
  void BeginAttention();
  void EndAttention();

  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Method> method_;  // Null without attention, as the rest.
  std::unique_ptr<BlockScaling> scaling_;
  std::unique_ptr<LayerTensors> tensors_;
  std::vector<const Parameter*> layers_;
  std::map<std::string, std::vector<int64_t>> id_limits_;  // FindIdLimits().
  int64_t step_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_BENCH_TRAIN_STEPPER_H_
