// Gradient descent on every trainable parameter of a store and on the auxiliary
// parameters of a pruning method (attention logits), in one pass over memory each.
#ifndef TOPIARY_WORKER_ENGINE_OPTIMIZER_H_
#define TOPIARY_WORKER_ENGINE_OPTIMIZER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/parameter_store.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/embedding_rows.h"

namespace topiary {

// Defaults are PyTorch's. Formulas: OptimizerParameters in worker/kernels/op_description.h.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  float momentum = 0;     // SGD, in [0, 1).
  bool nesterov = false;  // SGD; needs momentum.
  float beta1 = 0.9f;     // Adam, AdamW, in [0, 1).
  float beta2 = 0.999f;
  float epsilon = 1e-8f;  // > 0.
  // L2 term added to the gradient (SGD, Adam), or decoupled (AdamW). >= 0.
  float weight_decay = 0;
  // False: parameters of rank 0 and 1 (biases, BatchNorm) are not decayed.
  bool decay_vectors = true;
  // Updating a reparameterized parameter also writes its block_inner_product, of the values before
  // the update: what BlockScaling::ComputeInnerProducts() does, without a pass of its own.
  bool inner_products = false;
};

// INVALID_ARGUMENT naming the field that is out of its range or not finite.
absl::Status ValidateOptimizerOptions(const OptimizerOptions& options);

// Trainable state of a method. The memory belongs to the method, is device memory
// and outlives the optimizer.
struct AuxiliaryParameter {
  std::string name;  // Unique; not that of a parameter of the store.
  int64_t size = 0;
  float* value = nullptr;
  float* gradient = nullptr;
  float learning_rate_multiplier = 1;
  // Absent: the options'.
  std::optional<float> weight_decay;
};

// Everything an optimizer remembers between steps.
struct OptimizerState {
  int64_t steps = 0;            // Since the start or the last Reset().
  int64_t auxiliary_steps = 0;  // Since the start or the last Reset() or ResetAuxiliary().
  // "<parameter>/momentum", or "<parameter>/first_moment" and "<parameter>/second_moment".
  std::map<std::string, std::vector<float>> slots;
  // Of each table of rows: how many of the last updates each row has not had yet.
  std::map<std::string, std::vector<int32_t>> missed_updates;
  // Of those updates, oldest first.
  std::vector<float> learning_rates;
};

// Neighbouring parameters with the same settings are updated by one kernel. Of a parameter with
// rows only those that the last step read are updated, by SGD without decay: the others catch up
// when they are read again, or by SettleRows(), to what updating them all would have made of them
// but for rounding. Blocks of a reparameterized parameter whose scale is 0 keep value and slots.
// Thread-compatible: one thread at a time, as the backend.
class Optimizer {
 public:
  // UNIMPLEMENTED where `store` has rows that such updates cannot catch up with.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(
      const OptimizerOptions& options, ParameterStore* store,
      absl::Span<const AuxiliaryParameter> auxiliary = {});

  // One update by the gradients that lie in the store and in `auxiliary`, each multiplied by
  // `gradient_scale` first. Marks the store changed. Effective weights of
  // reparameterized parameters are stale until BlockScaling::ApplyScales().
  void Step(float learning_rate, float gradient_scale = 1);

  // Step() in two halves: the store, then `auxiliary`, whose gradients may thus be made of the
  // inner products that the first half writes.
  void StepStore(float learning_rate, float gradient_scale = 1);
  void StepAuxiliary();

  // Brings all rows up to date: before values are read by others than a training program.
  void SettleRows();

  // Slots to 0 and the step count to 0, as a new optimizer.
  void Reset();
  // The same for the auxiliary parameters alone.
  void ResetAuxiliary();

  OptimizerState Save() const;
  // INVALID_ARGUMENT, naming the slot, where `state` has not exactly this optimizer's slots and
  // rows; nothing is changed then.
  absl::Status Load(const OptimizerState& state);

 private:
  // One slot of one parameter, for Save() and Load().
  struct Slot {
    std::string name;
    float* data;
    int64_t size;
    bool auxiliary;
  };

  Optimizer(const OptimizerOptions& options, ParameterStore* store)
      : options_(options), store_(store) {}
  absl::Status PlanStore();
  absl::Status PlanAuxiliary(const AuxiliaryParameter& parameter);
  absl::Status PlanRows(const Parameter& parameter);
  absl::Status CheckRows(const OptimizerState& state) const;
  absl::Status PlanUpdate(OptimizerParameters parameters, int64_t size, float* value,
                          float* gradient, absl::Span<float* const> slots, const Parameter* blocks,
                          std::vector<std::unique_ptr<Kernel>>* kernels);
  absl::StatusOr<std::vector<float*>> AllocateSlots(int64_t size);
  void AddSlots(const std::string& name, int64_t size, absl::Span<float* const> slots,
                int64_t offset, bool auxiliary = false);
  OptimizerParameters ParametersFor(bool decay) const;
  void SetBiasCorrections(int64_t steps, UpdateScalars* scalars) const;

  OptimizerOptions options_;
  ParameterStore* store_;
  UpdateScalars scalars_;
  UpdateScalars auxiliary_scalars_;
  int64_t steps_ = 0;
  int64_t auxiliary_steps_ = 0;
  std::vector<std::unique_ptr<Kernel>> store_kernels_;
  std::vector<std::unique_ptr<Kernel>> auxiliary_kernels_;
  std::vector<Buffer> buffers_;
  std::vector<Slot> slots_;
  // Parameters with rows, by name, and the updates since all of them were up to date.
  std::map<std::string, std::shared_ptr<EmbeddingRows>> tables_;
  MissedUpdates missed_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_OPTIMIZER_H_
