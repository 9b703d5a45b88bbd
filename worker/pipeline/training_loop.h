#ifndef TOPIARY_WORKER_PIPELINE_TRAINING_LOOP_H_
#define TOPIARY_WORKER_PIPELINE_TRAINING_LOOP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/data/dataset.h"
#include "worker/data/loader.h"
#include "worker/engine/block_scaling.h"
#include "worker/engine/learning_rate.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/model/graph.h"
#include "worker/pipeline/gradient_norm.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/teacher.h"
#include "worker/prune/block_skipping.h"
#include "worker/prune/method.h"
#include "worker/prune/scaled_weights.h"

namespace topiary {

// The tensors of a method's layers, in a store in host memory, which outlives it as `optimizer`
// does: where there is one, rows of embedding tables that lag behind are brought up to date by it
// before their table is given away.
class StoreLayerTensors : public LayerTensors {
 public:
  StoreLayerTensors(ParameterStore* store, absl::Span<const MethodLayer> layers,
                    Optimizer* optimizer = nullptr);
  absl::Span<const float> RawWeights(int index) override;
  absl::Span<float> MutableRawWeights(int index) override;
  absl::Span<const float> Gradients(int index) override;
  absl::Span<float> MutableGradients(int index) override;
  absl::Span<float> MutableEffectiveWeights(int index) override;
  absl::Span<const Tensor> Inputs() override { return inputs_; }
  // Those of a batch, which are valid until the next call.
  void set_inputs(absl::Span<const Tensor> inputs) { inputs_ = inputs; }
  absl::Span<const float> RawWeight(const std::string& name) override;
  absl::Span<float> MutableRawWeight(const std::string& name) override;

 private:
  const Parameter& Settled(const std::string& name);

  ParameterStore* const store_;
  Optimizer* const optimizer_;
  std::vector<const Parameter*> parameters_;  // Null for groups.
  absl::Span<const Tensor> inputs_;
};

// One training run: program, optimizer, method and data brought together, a step at a time. Whoever
// owns it decides when to stop, report, evaluate and save: between two steps the whole state is
// what Save() gives, and a loop that loads it goes on with the same bits.
//
// While the support of a phase is frozen, products with pruned weights and their gradients leave
// out pruned blocks, where enough of them are gone for that to be faster (block_skipping.h).
//
// One thread at a time.
class TrainingLoop {
 public:
  // The weights of `graph` are where training starts. `graph`, `backend` (host-accessible) and
  // `train` outlive the last step. The method must plan TotalSteps() of the data. `break_evens` are
  // of LayerUse::kTraining. Where the task distills, the teacher is `graph` as it is now.
  // Errors as Program::Build() and ParameterStore::Create(); INVALID_ARGUMENT where training would
  // never go back as `rewind` says.
  static absl::StatusOr<std::unique_ptr<TrainingLoop>> Create(
      const Graph& graph, Backend* backend, const Dataset& train, const TaskSpec& task,
      std::unique_ptr<Method> method, BreakEvenDensities break_evens,
      std::optional<RewindSpec> rewind = {});

  // Before the first step: replaces the weights named, of as many elements. A teacher keeps those
  // of the graph.
  void StartFrom(const std::map<std::string, Tensor>& weights);

  // The step to be run next; total_steps() when training is over.
  int64_t next_step() const { return next_step_; }
  int64_t total_steps() const { return method_->plan().total_steps(); }
  int64_t batches_per_epoch() const { return loader_->batches_per_epoch(); }
  int64_t batch_size() const { return program_->batch(); }

  struct StepResult {
    float loss = 0;
    bool phase_ended = false;  // The step was the last of its phase.
    int64_t changed_blocks = 0;
  };
  // Runs step next_step(). FAILED_PRECONDITION, naming step and remedy, where the loss is not a
  // finite number; the weights are of no use then.
  absl::StatusOr<StepResult> Step();

  // Makes effective weights from raw weights and the method's newest scales, and brings all rows of
  // embedding tables up to date: before the weights of a moment are evaluated or exported. Training
  // goes on as if nothing had happened, but for rounding where there are such tables: whoever wants
  // the same bits again calls it after the same steps.
  void RefreshEffectiveWeights();

  // Replaces the running statistics of BatchNormalization by their means over `batches` batches
  // drawn from the seed, with the effective weights of the moment. Does nothing where there are
  // none. `check` as in Evaluator.
  absl::Status ReestimateBatchNorm(int64_t batches, const std::function<absl::Status()>& check);

  // FAILED_PRECONDITION, naming the weight, where a weight is not a finite number.
  absl::Status CheckWeightsAreFinite() const;

  // State of optimizer, weights, statistics, method and place in the data, by name.
  MethodState Save() const;
  // INVALID_ARGUMENT, naming the entry, where `state` is not of a loop like this one; the loop is
  // of no use then.
  absl::Status Load(const MethodState& state);

  ParameterStore* store() { return store_.get(); }
  const Method& method() const { return *method_; }
  const Program& program() const { return *program_; }

 private:
  TrainingLoop() = default;
  absl::Status Attach(const Graph& graph, Backend* backend, const TaskSpec& task);
  absl::Status CreateOptimizer(const TaskSpec& task);
  absl::Status BuildProgram();
  absl::Status FitProgram(const StepActions& actions);
  absl::Status LeaveOut(SparseWeights weights);
  void ApplyScales();
  void RefreshScaledWeights();
  // What `rewind_` asks for before the step of `actions` is run.
  void RememberOrRewind(const StepActions& actions);
  double LearningRateNow() const;
  // The step that `rewind_` goes back to.
  int64_t RewindStep() const;
  // Of a state saved before step `step`.
  absl::Status LoadRewind(int64_t step, const MethodState& state);
  void SendInnerProducts();
  void Update(float learning_rate);

  const Graph* graph_ = nullptr;
  Backend* backend_ = nullptr;
  const Dataset* train_ = nullptr;
  uint64_t seed_ = 0;
  double clip_norm_ = 0;  // 0: none.
  LearningRateSchedule learning_rate_;
  std::optional<RewindSpec> rewind_;
  // Weights and statistics of the step to go back to, by name; empty before it.
  std::map<std::string, Tensor> remembered_;
  // The steps for which the schedule of the learning rate runs again from that step on.
  int64_t rewound_at_ = -1;  // -1: none yet.
  int64_t rewound_until_ = -1;
  std::unique_ptr<Method> method_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<StoreLayerTensors> tensors_;
  ScaledWeights scaled_;
  std::vector<const Parameter*> scaled_parameters_;  // Of the weights of `scaled_`.
  BreakEvenDensities break_evens_;
  ProgramOptions program_options_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Teacher> teacher_;           // Null where there is none.
  int fitted_phase_ = -1;                      // For which FitProgram() last looked; -1: none.
  std::unique_ptr<BlockScaling> scaling_;      // Null where nothing is pruned.
  std::unique_ptr<TrainedGradientNorm> norm_;  // Null where nothing is clipped.
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Loader> loader_;
  int64_t next_step_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_TRAINING_LOOP_H_
