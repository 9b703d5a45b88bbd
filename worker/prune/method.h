// What a pruning method is to the training loop: a scale per block, told each step.
//
// A method owns which blocks are live (the support), a scale for each block, and trainable state of
// its own. The training loop asks for the scales before each step, makes effective weights
// scale[block] * value from them, and hands back the inner products <d loss / d effective, value>
// of each block, from which the method derives the gradients of its own state.
#ifndef TOPIARY_WORKER_PRUNE_METHOD_H_
#define TOPIARY_WORKER_PRUNE_METHOD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/phases.h"
#include "worker/prune/support.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// A weight that the method prunes, or a group of candidates that are more than blocks of one
// weight: what is said of blocks in this file holds for candidates too. Layers that stay dense are
// never shown to it.
struct MethodLayer {
  std::string weight;  // Of a group: its name.
  // The blocks of the weight; null where there is a `group`.
  std::shared_ptr<const BlockPartition> partition;
  // Part of its blocks to be pruned at the end, in [0, 1). Absent: as the method's target says.
  std::optional<double> sparsity = std::nullopt;
  std::shared_ptr<const CandidateGroup> group = nullptr;
  // Where layers compete (BudgetKind::kGlobal): it ends between these two, to the nearest block.
  double min_sparsity = 0;
  double max_sparsity = 1;

  int64_t block_count() const {
    return group != nullptr ? group->count() : partition->block_count();
  }
};

// Gives a method the tensors of its layers, when it asks: most steps it does not, and reading them
// may mean a copy from a device. Each is that of layer `index`, in the order of the method's
// layers, as stored, and is valid until the method returns. Layers that are groups have no tensors:
// the weights that their parts name are asked for by name.
class LayerTensors {
 public:
  virtual ~LayerTensors() = default;
  // The raw weights (before scaling), which the optimizer changes.
  virtual absl::Span<const float> RawWeights(int index) = 0;
  // The same, for a method that sets some itself.
  virtual absl::Span<float> MutableRawWeights(int index) = 0;
  // d loss / d effective weights, of the last backward pass: of pruned blocks too, but in sparse
  // phases, which may leave those out.
  virtual absl::Span<const float> Gradients(int index) = 0;
  // The same, for a method that turns them into those by its raw weights.
  virtual absl::Span<float> MutableGradients(int index) = 0;
  // What the forward pass reads.
  virtual absl::Span<float> MutableEffectiveWeights(int index) = 0;

  // The inputs of the model in this step's batch, in the order of the data; axis 0 is the batch.
  virtual absl::Span<const Tensor> Inputs() = 0;

  // The raw weight of this name, of a part of a group.
  virtual absl::Span<const float> RawWeight(const std::string& name) = 0;
  virtual absl::Span<float> MutableRawWeight(const std::string& name) = 0;
};

// What the training loop must do before the step it asked about.
struct StepActions {
  bool phase_begins = false;           // The step is the first of a phase.
  bool reset_optimizer = false;        // Forget momentum and moments first,
  bool reset_trainable_state = false;  // or those of the method's trainable state alone.
  // The step only measures: gradients are made and handed to EndStep(), and nothing is updated.
  bool hold_weights = false;
  int64_t changed_blocks = 0;  // Blocks that left or joined the support.
  // From this step on the support stays as it is, to the end or for a round: where rewinding goes
  // back. The next step that has one, or the end of the run.
  std::optional<int64_t> settled_until;
};

// Trainable state of a method, updated by the optimizer along with the weights. The memory is
// aligned to 64 bytes, belongs to the method and never moves.
struct TrainableState {
  std::string name;  // Unique within the model: contains a '/', see each method.
  int64_t size = 0;
  float* value = nullptr;
  float* gradient = nullptr;
  double learning_rate_multiplier = 1;
  // Absent: decays as the weights do.
  std::optional<double> weight_decay;
};

// By name. All that a method must remember between two steps.
using MethodState = std::map<std::string, Tensor>;

// The entry `key` of `state`. INVALID_ARGUMENT, naming it, where it is missing or does not have
// `count` elements of `dtype`.
absl::StatusOr<const Tensor*> FindState(const MethodState& state, const std::string& key,
                                        DType dtype, int64_t count);

// The conversation, for step = 0, 1, ...: BeginStep(step); forward and backward with scales();
// AfterBackward(); EndStep(); the optimizer's update and AfterUpdate(), unless the step holds the
// weights. A resumed run calls Load() and goes on with the next step. After the last update
// RefreshScales() gives the scales that are folded into the exported weights.
//
// Not thread-safe. Everything is a function of the steps, tensors and inner products seen: no
// clock, and no randomness but what a seed among the options gives.
class Method {
 public:
  virtual ~Method() = default;

  virtual absl::string_view name() const = 0;
  virtual const PhasePlan& plan() const = 0;
  virtual absl::Span<const MethodLayer> layers() const = 0;

  // Settles support and scales for `step`, in [0, plan().total_steps()); may change raw weights.
  virtual StepActions BeginStep(int64_t step, LayerTensors& tensors) = 0;

  // The last step of which StepActions::settled_until is given; none where blocks come or go to
  // the end of the run.
  virtual std::optional<int64_t> last_settling_step() const { return std::nullopt; }

  // The scale of each block of layer `index`; 0 means pruned.
  virtual absl::Span<const float> scales(int index) const = 0;
  virtual const Support& support(int index) const = 0;

  // Whenever scale * raw has been written to the effective weights: a method that makes them of the
  // raw weights in another way writes its own, 0 in pruned blocks, and multiplies the gradients by
  // the derivatives in AfterBackward(). The optimizer still multiplies them by the scales.
  virtual void WriteEffectiveWeights(LayerTensors& tensors) = 0;

  // After the backward pass of the step begun last: may read and change gradients, and change raw
  // weights and support for the steps to come.
  virtual void AfterBackward(LayerTensors& tensors) = 0;

  // Whether EndStep() needs the inner products of every step, and not only of steps that hold the
  // weights, which it is given in any case.
  virtual bool wants_inner_products() const = 0;

  // `inner_products[i]` has <d loss / d effective, value> for each block of layer i, of the step
  // begun last; empty unless wanted. Fills the gradients of trainable_state().
  virtual void EndStep(absl::Span<const absl::Span<const float>> inner_products) = 0;

  // After the optimizer's update of the step begun last, which took `learning_rate`: may change raw
  // weights and support, as a projection or a proximal step does.
  virtual void AfterUpdate(double learning_rate, LayerTensors& tensors) = 0;

  // May be empty. The same at every call.
  virtual std::vector<TrainableState> trainable_state() = 0;

  // Brings scales() up to date with trainable state and support, without a step.
  virtual void RefreshScales() = 0;

  virtual MethodState Save() const = 0;
  // INVALID_ARGUMENT, naming the entry, where `state` is not of a method like this one on layers
  // like these; nothing is changed then.
  virtual absl::Status Load(const MethodState& state) = 0;
};

// Live blocks over all layers of `method`, and all blocks.
struct BlockCounts {
  int64_t live = 0;
  int64_t total = 0;
};
BlockCounts CountBlocks(const Method& method);

// Sets the raw weights of blocks of `layer`, the method's layer `index`, whose entry in `kept` is 0
// to +0: of a group, those that its scales multiply.
void ZeroPruned(const MethodLayer& layer, int index, absl::Span<const uint8_t> kept,
                LayerTensors& tensors);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_METHOD_H_
