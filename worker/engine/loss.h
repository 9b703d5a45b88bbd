// The loss at the end of a program.
#ifndef TOPIARY_WORKER_ENGINE_LOSS_H_
#define TOPIARY_WORKER_ENGINE_LOSS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/lowering.h"
#include "worker/engine/program.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// Where a loss takes its numbers from.
struct LossInput {
  // The value the loss is computed from: the output, or the logits from which its last
  // activation was computed.
  std::string value;
  Shape shape;  // As the loss sees it: [n, classes] for cross-entropy, else the output's.
  OutputKind output_kind = OutputKind::kValues;
};

// Decides for output `output` of `graph`. INVALID_ARGUMENT, naming the output, where its shape does
// not suit the loss.
absl::StatusOr<LossInput> FindLossInput(const Graph& graph, const InferredGraph& inferred,
                                        LossKind loss, const std::string& output);

// One term of a loss: an operation that compares a value with what it should be.
struct LossTerm {
  OpKind kind = OpKind::kMeanSquaredError;
  LossParameters parameters;
  std::string value;
  Shape shape;  // Of the value as the operation sees it.
  TensorDescription wanted;
};

// The term of the labels, and those of ProgramOptions::teacher_losses. INVALID_ARGUMENT, naming
// the value, where `inferred` has none of that name.
absl::StatusOr<std::vector<LossTerm>> LossTerms(const ProgramOptions& options,
                                                const LossInput& input,
                                                const InferredGraph& inferred);

// Emits a term into `loss_memory` and, if the value's gradient is wanted, delivers it.
absl::Status LowerLoss(Lowering& lowering, LossTerm term, const TensorRef& wanted,
                       const TensorRef& loss_memory);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LOSS_H_
