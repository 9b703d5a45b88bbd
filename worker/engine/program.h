// A model at one batch size, planned once and run every step: the kernels in
// order, in memory laid out once.
//
// Build() goes through four stages, each a file of its own: the operators are
// fused (fusion.h), written out as steps with their gradients (step_builder.h and ops/),
// laid out in one arena by their lifetimes (memory_plan.h), and bound (program.cc).
#ifndef TOPIARY_WORKER_ENGINE_PROGRAM_H_
#define TOPIARY_WORKER_ENGINE_PROGRAM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/engine/parameter_store.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/model/graph.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {

// kTraining: BatchNormalization uses statistics of the batch, whatever training_mode the file
// says, and updates the running ones as PyTorch does (unbiased variance);
// Dropout is active. kInference: running statistics, no Dropout, no gradients.
enum class ProgramMode { kTraining, kInference };

enum class LossKind {
  kNone,
  // Output [n, classes] (further extents must be 1), labels int32 [n]; or, for sequences, output
  // [n, length, classes] and labels [n * length]: the mean is over all positions.
  kSoftmaxCrossEntropy,
  // Output of any shape of n elements or more, targets float32 of the same shape, in [0, 1].
  kBinaryCrossEntropy,
  // Targets float32 of the output's shape.
  kMeanSquaredError,
};

// The axis of the classes in an output of cross-entropy: 1 in [n, classes, 1, ...], 2 in
// [n, length, classes]; -1 where `output` is neither.
int ClassAxis(const Shape& output);

// What the numbers of the output are, told from the last node and the loss.
enum class OutputKind { kLogits, kProbabilities, kLogProbabilities, kValues };

// A term of the loss besides that of the labels: being like a teacher, another network, whose
// numbers the caller gives for each batch.
struct TeacherLoss {
  // A value of the graph: the mean squared difference from the teacher's. Empty: what the loss of
  // the labels is computed from, logits by kDistillation (op_description.h) at `temperature`, the
  // output of kMeanSquaredError by its squared difference.
  std::string value;
  float weight = 1;
  float temperature = 1;
};

class Program;

using SparseWeights = std::map<std::string, std::shared_ptr<const BlockSparsePattern>>;

struct ProgramOptions {
  int64_t batch = 1;
  // Shapes of inputs, for graphs with several symbolic axes. Empty: InputShapesForBatch().
  std::map<std::string, Shape> input_shapes;
  ProgramMode mode = ProgramMode::kTraining;
  // Of output `loss_output`. Required for ForwardBackward(). With cross-entropy, a
  // Softmax, LogSoftmax or (binary) Sigmoid that ends the graph is left out of the
  // loss, which is computed from the logits before it; output() stays the graph's.
  LossKind loss = LossKind::kNone;
  int loss_output = 0;
  float loss_weight = 1;                    // Of that loss, beside the teacher's.
  std::vector<TeacherLoss> teacher_losses;  // Only with a loss.
  uint64_t seed = 0;                        // First key of dropout masks.
  // Weights of which only some blocks are kept, by name, each as the matrix [inputs, outputs] that
  // multiplies from the right in Gemm or MatMul, or as those [kernel * inputs, outputs] of the
  // groups of a Conv: products, and gradients in training, leave out the other blocks, which are
  // not read. Their gradients are not written: zero them before. A weight that is used more than
  // once, or otherwise, is multiplied as if it were dense.
  SparseWeights sparse_weights;
  // Results of Gelu and BatchNormalization of so many elements and more are not kept for the
  // backward pass, which computes them again: memory for a few percent of time.
  int64_t recompute_from = int64_t{1} << 18;
  // Of the same graph and store, with the same options, on a backend that lays weights out as this
  // one's does: its copies of weights in the layouts of kernels are used, and none made. It
  // outlives the program, and has RefreshWeights() called. Inference only.
  const Program* weights_of = nullptr;
};

// A host-accessible operand of the program, which the caller fills (inputs, labels) or
// reads (outputs), in plain layout. The memory belongs to the program and never moves.
struct StagedTensor {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;
  void* data = nullptr;
  size_t bytes() const { return static_cast<size_t>(shape.element_count()) * SizeOf(dtype); }
};

struct ProgramStatistics {
  size_t arena_bytes = 0;     // Activations, gradients of activations, reordered weights.
  size_t unshared_bytes = 0;  // The same, had no two of them shared memory.
  size_t scratch_bytes = 0;
  std::vector<std::string> forward_steps;  // "ConvolutionForward+relu conv1", in order.
  std::vector<std::string> backward_steps;
  // Those of ProgramOptions::sparse_weights that are multiplied without their other blocks.
  std::vector<std::string> sparse_weights;
};

struct CompiledProgram;  // program_internal.h

// Not thread-safe: one thread at a time. Graph may be destroyed after Build();
// store and backend must outlive the program.
class Program {
 public:
  // INVALID_ARGUMENT, UNIMPLEMENTED: as InferShapes(), or an output that does not fit the
  // loss, nothing to train, or a value of a teacher's loss that the graph does not compute; the
  // message names node, output or value. FAILED_PRECONDITION: training with
  // a store for inference. RESOURCE_EXHAUSTED: not enough memory.
  static absl::StatusOr<std::unique_ptr<Program>> Build(const Graph& graph, ParameterStore* store,
                                                        Backend* backend,
                                                        const ProgramOptions& options);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // In the order of Graph::inputs and Graph::outputs.
  absl::Span<const StagedTensor> inputs() const;
  absl::Span<const StagedTensor> outputs() const;
  // Null if there is no input of this name.
  const StagedTensor* input(absl::string_view name) const;
  const StagedTensor& output(int i) const { return outputs()[i]; }
  // int32 class numbers or float32 targets. Only with a loss.
  const StagedTensor& labels() const;
  // float32, one for each of ProgramOptions::teacher_losses, under the name of the value of the
  // graph that it is compared with.
  absl::Span<const StagedTensor> teacher_values() const;
  OutputKind output_kind() const;

  // Copies weights that have changed to the layouts of kernels. Forward() does so itself; programs
  // that use another's copies (ProgramOptions::weights_of) do not.
  void RefreshWeights();
  // Computes outputs and, with a loss, the loss. In training mode updates the running
  // statistics (and so the store's version).
  void Forward();
  // The same, adding to seconds[i] what the step statistics().forward_steps[i] took.
  void ForwardTimed(absl::Span<double> seconds);
  // Forward(), then the gradient of every trainable parameter that the loss depends on; those of
  // others stay 0. Gradients are overwritten, not added to. Training mode and a loss only.
  void ForwardBackward();

  // Mean loss of the last Forward() or ForwardBackward(), all terms together.
  float loss() const;

  // Number of the next step: key of its dropout masks. Starts at 0 and does not
  // advance by itself.
  void set_step(uint64_t step);
  // Momentum of BatchNorm's running statistics, in [0, 1]; negative: the graph's. With
  // k / (k + 1) at the k-th batch, counted from 0, they become the mean over batches.
  void set_running_momentum(float momentum);

  int64_t batch() const;
  const ProgramStatistics& statistics() const;

 private:
  explicit Program(std::unique_ptr<CompiledProgram> compiled);
  void FinishForward();

  std::unique_ptr<CompiledProgram> compiled_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_PROGRAM_H_
