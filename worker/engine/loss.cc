#include "worker/engine/loss.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

const Node* ProducerOf(const Graph& graph, const InferredGraph& inferred,
                       const std::string& value) {
  for (int index : inferred.live_nodes) {
    if (graph.nodes[index].output(0) == value) return &graph.nodes[index];
  }
  return nullptr;
}

bool IsView(const std::string& op_type) {
  return op_type == "Identity" || op_type == "Flatten" || op_type == "Reshape" ||
         op_type == "Squeeze" || op_type == "Unsqueeze";
}

// The node that computed the elements of `value`, through nodes that only change its shape.
const Node* LastActivation(const Graph& graph, const InferredGraph& inferred,
                           const std::string& value) {
  const Node* node = ProducerOf(graph, inferred, value);
  while (node != nullptr && IsView(node->op_type)) {
    node = ProducerOf(graph, inferred, node->input(0));
  }
  return node;
}

OutputKind KindOf(const Node* last, LossKind loss) {
  if (loss == LossKind::kMeanSquaredError) return OutputKind::kValues;
  const std::string op_type = last == nullptr ? "" : last->op_type;
  if (op_type == "Softmax" || op_type == "Sigmoid") return OutputKind::kProbabilities;
  if (op_type == "LogSoftmax") return OutputKind::kLogProbabilities;
  return loss == LossKind::kNone ? OutputKind::kValues : OutputKind::kLogits;
}

// Whether `node`, a softmax of logits of `shape`, is one over the `classes` of every example.
bool IsOverClasses(const Node& node, const Shape& shape, int64_t classes) {
  const absl::StatusOr<int> axis = ReadAxis(node, shape.rank());
  return axis.ok() && *axis == ClassAxis(shape) && shape[*axis] == classes;
}

// [examples, classes].
absl::StatusOr<Shape> ClassShape(const std::string& output, const Shape& shape) {
  const int axis = ClassAxis(shape);
  if (axis < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("output '", output, "' has shape ", shape.ToString(),
                     "; cross-entropy needs [batch, classes] or [batch, length, classes]"));
  }
  return Shape({shape.element_count() / shape[axis], shape[axis]});
}

}  // namespace

int ClassAxis(const Shape& output) {
  if (output.rank() >= 2 && output.element_count() == output[0] * output[1]) return 1;
  return output.rank() == 3 ? 2 : -1;
}

absl::StatusOr<LossInput> FindLossInput(const Graph& graph, const InferredGraph& inferred,
                                        LossKind loss, const std::string& output) {
  const Shape& shape = inferred.values.at(output).shape;
  const Node* last = LastActivation(graph, inferred, output);
  LossInput input{output, shape, KindOf(last, loss)};
  if (loss == LossKind::kNone) return input;
  if (shape.element_count() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("output '", output, "' has shape ", shape.ToString(), ": nothing to train"));
  }
  if (loss == LossKind::kSoftmaxCrossEntropy) {
    ASSIGN_OR_RETURN(input.shape, ClassShape(output, shape));
    const bool softmax =
        last != nullptr && (last->op_type == "Softmax" || last->op_type == "LogSoftmax");
    if (softmax && IsOverClasses(*last, inferred.values.at(last->input(0)).shape, input.shape[1])) {
      input.value = last->input(0);
    } else if (last != nullptr && input.output_kind == OutputKind::kProbabilities) {
      return absl::InvalidArgumentError(absl::StrCat(
          "output '", output, "' ends in ", last->op_type,
          ", which is not a softmax over the classes; cross-entropy needs logits or one"));
    }
  } else if (loss == LossKind::kBinaryCrossEntropy) {
    if (last != nullptr && last->op_type == "Sigmoid") {
      input.value = last->input(0);
    } else if (last != nullptr && input.output_kind != OutputKind::kLogits) {
      return absl::InvalidArgumentError(
          absl::StrCat("output '", output, "' ends in ", last->op_type,
                       "; binary cross-entropy needs logits or a Sigmoid"));
    }
  }
  return input;
}

absl::StatusOr<std::vector<LossTerm>> LossTerms(const ProgramOptions& options,
                                                const LossInput& input,
                                                const InferredGraph& inferred) {
  LossTerm labels;
  if (options.loss == LossKind::kSoftmaxCrossEntropy) labels.kind = OpKind::kSoftmaxCrossEntropy;
  if (options.loss == LossKind::kBinaryCrossEntropy) {
    labels.kind = OpKind::kBinaryCrossEntropyWithLogits;
  }
  labels.parameters.weight = options.loss_weight;
  labels.value = input.value;
  labels.shape = input.shape;
  labels.wanted = {input.shape, DType::kFloat32, Layout::Plain()};
  if (options.loss == LossKind::kSoftmaxCrossEntropy) {
    labels.wanted = {Shape({input.shape[0]}), DType::kInt32, Layout::Plain()};
  }
  std::vector<LossTerm> terms = {labels};
  for (const TeacherLoss& teacher : options.teacher_losses) {
    LossTerm term;
    term.parameters.weight = teacher.weight;
    term.parameters.temperature = teacher.temperature;
    term.value = teacher.value;
    if (teacher.value.empty()) {
      term.value = input.value;
      term.shape = input.shape;
      if (options.loss != LossKind::kMeanSquaredError) term.kind = OpKind::kDistillation;
      if (options.loss == LossKind::kBinaryCrossEntropy) {
        term.shape = Shape({input.shape.element_count(), 1});
      }
    } else {
      const auto found = inferred.values.find(teacher.value);
      if (found == inferred.values.end() || found->second.dtype != DType::kFloat32) {
        return absl::InvalidArgumentError(
            absl::StrCat("the teacher's value '", teacher.value,
                         "' is not a float32 value that the model computes: use the name of an "
                         "output of one of its nodes"));
      }
      term.shape = found->second.shape;
    }
    term.wanted = {term.shape, DType::kFloat32, Layout::Plain()};
    terms.push_back(std::move(term));
  }
  return terms;
}

absl::Status LowerLoss(Lowering& l, LossTerm term, const TensorRef& wanted,
                       const TensorRef& loss_memory) {
  l.emitter().set_label("loss");
  ASSIGN_OR_RETURN(const TensorRef value, l.PlainValue(term.value));
  ASSIGN_OR_RETURN(const TensorRef src, l.emitter().View(value, term.shape));
  term.parameters.has_gradient = l.tape().Requires(term.value);
  Operation operation{term.kind,
                      term.parameters,
                      {Plain(src), Plain(wanted)},
                      {{loss_memory.description, loss_memory}}};
  if (term.parameters.has_gradient) operation.outputs.push_back({src.description, std::nullopt});
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  if (!term.parameters.has_gradient) return absl::OkStatus();
  return l.tape().Deliver(term.value, results[1]);
}

}  // namespace topiary
