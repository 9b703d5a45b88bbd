#include "worker/model/shape_inference.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_schema.h"

namespace topiary {
namespace {

// Of one value, so that sizes in bytes never overflow further on.
constexpr int64_t kMaxElements = int64_t{1} << 40;

absl::Status Prefix(const std::string& label, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(label, ": ", status.message()));
}

bool IsRankZeroOrInteger(const Tensor& tensor) {
  return tensor.dtype() != DType::kFloat32 || tensor.shape().rank() == 0;
}

// One walk over the nodes forward (types and constants), one backward (what is needed).
class Inference {
 public:
  explicit Inference(const Graph& graph) : graph_(graph) {}

  absl::StatusOr<InferredGraph> Run(const std::map<std::string, Shape>& input_shapes) {
    RETURN_IF_ERROR(AddInputs(input_shapes));
    for (const Initializer& i : graph_.initializers) {
      result_.values[i.name] = {i.value.dtype(), i.value.shape()};
      initializers_[i.name] = &i.value;
    }
    runs_.assign(graph_.nodes.size(), false);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      const absl::Status status = Visit(node, i);
      if (!status.ok()) return Prefix(NodeLabel(node, static_cast<int>(i)), status);
    }
    RETURN_IF_ERROR(FindLiveNodes());
    NameParameters();
    return std::move(result_);
  }

 private:
  absl::Status AddInputs(const std::map<std::string, Shape>& input_shapes) {
    for (const ValueInfo& input : graph_.inputs) {
      const auto it = input_shapes.find(input.name);
      if (it == input_shapes.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("no shape is given for input '", input.name, "'"));
      }
      if (input.dtype != DType::kFloat32 && input.dtype != DType::kInt64) {
        return absl::UnimplementedError(absl::StrCat("input '", input.name, "' is ",
                                                     DTypeName(input.dtype),
                                                     "; supported are float32 and int64"));
      }
      RETURN_IF_ERROR(CheckDeclared(input, it->second));
      result_.values[input.name] = {input.dtype, it->second};
    }
    return absl::OkStatus();
  }

  static absl::Status CheckDeclared(const ValueInfo& input, const Shape& shape) {
    bool fits = !input.has_shape || static_cast<int>(input.dims.size()) == shape.rank();
    for (int i = 0; fits && input.has_shape && i < shape.rank(); ++i) {
      fits = !input.dims[i].fixed() || input.dims[i].extent == shape[i];
    }
    if (!fits || !shape.CheckedElementCount(kMaxElements).ok()) {
      return absl::InvalidArgumentError(absl::StrCat("input '", input.name, "' is declared as ",
                                                     DimsToString(input), " and cannot be ",
                                                     shape.ToString()));
    }
    return absl::OkStatus();
  }

  // The value of `name` where it can be known now and training does not change it.
  const Tensor* Constant(const std::string& name, bool configures) const {
    const auto constant = result_.constants.find(name);
    if (constant != result_.constants.end()) return &constant->second;
    const auto initializer = initializers_.find(name);
    if (initializer == initializers_.end()) return nullptr;
    return configures || IsRankZeroOrInteger(*initializer->second) ? initializer->second : nullptr;
  }

  absl::Status CheckForm(const Node& node, const OpSchema* schema) const {
    if (!node.domain.empty() || schema == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("the operator ", node.domain, node.domain.empty() ? "" : ".", node.op_type,
                       " is not supported; supported are ", SupportedOperators()));
    }
    if (node.inputs.size() < schema->min_inputs || node.inputs.size() > schema->max_inputs) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has ", node.inputs.size(), " operands; ", node.op_type, " takes ",
                       schema->min_inputs, " to ", schema->max_inputs, " in the supported opsets"));
    }
    if (node.outputs.empty() || node.outputs.size() > schema->max_outputs) {
      return absl::InvalidArgumentError(absl::StrCat("it has ", node.outputs.size(), " outputs; ",
                                                     node.op_type, " has 1 to ",
                                                     schema->max_outputs));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<OpContext> Context(const Node& node, const OpSchema& schema) const {
    OpContext op{node, {}, {}};
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::string& name = node.inputs[i];
      if (name.empty()) {
        if (i < schema.min_inputs) {
          return absl::InvalidArgumentError(absl::StrCat("operand ", i, " is left out"));
        }
        op.types.push_back(nullptr);
        op.constants.push_back(nullptr);
        continue;
      }
      const auto type = result_.values.find(name);
      if (type == result_.values.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("operand '", name, "' is produced by nothing before it"));
      }
      op.types.push_back(&type->second);
      op.constants.push_back(Constant(name, schema.configures(i)));
      if (schema.configures(i) && op.constants.back() == nullptr) {
        return absl::UnimplementedError(absl::StrCat(
            "operand ", i, " ('", name, "') depends on the data; it must be constant"));
      }
    }
    return op;
  }

  absl::Status Visit(const Node& node, size_t index) {
    const OpSchema* schema = FindOpSchema(node.op_type);
    RETURN_IF_ERROR(CheckForm(node, schema));
    ASSIGN_OR_RETURN(const OpContext op, Context(node, *schema));
    ASSIGN_OR_RETURN(const std::vector<ValueType> types, schema->type(op));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) continue;
      RETURN_IF_ERROR(types[i].shape.CheckedElementCount(kMaxElements).status());
      result_.values[node.outputs[i]] = types[i];
    }
    if (CanFold(*schema, op, types[0])) {
      ASSIGN_OR_RETURN(Tensor value, schema->fold(op, types[0]));
      folded_elements_ += value.element_count();
      if (folded_elements_ > 4 * kMaxFoldedElements) {
        return absl::ResourceExhaustedError("the constants of the graph are too large");
      }
      result_.constants[node.output(0)] = std::move(value);
      return absl::OkStatus();
    }
    runs_[index] = true;
    return absl::OkStatus();
  }

  static bool CanFold(const OpSchema& schema, const OpContext& op, const ValueType& type) {
    if (schema.fold == nullptr || op.node.output(0).empty()) return false;
    if (!type.shape.CheckedElementCount(kMaxFoldedElements).ok()) return false;
    if (schema.op_type == "Shape") return true;
    for (size_t i = 0; i < op.types.size(); ++i) {
      if (op.has(i) && op.constant(i) == nullptr) return false;
    }
    return true;
  }

  static bool IsGather(const OpSchema& schema) { return schema.op_type == "Gather"; }

  // Whether the operator passes numbers on as they are, so that it may do so with int64 ones.
  static bool MovesIntegers(const OpSchema& schema) {
    static constexpr absl::string_view kMovers[] = {"Flatten", "Gather",  "Identity",
                                                    "Reshape", "Squeeze", "Unsqueeze"};
    return std::find(std::begin(kMovers), std::end(kMovers), schema.op_type) != std::end(kMovers);
  }

  // What a node must be to run on a batch; see InferShapes().
  absl::Status CheckRuns(const Node& node, const OpSchema& schema) const {
    if (!schema.runs) {
      return absl::UnimplementedError(
          absl::StrCat(node.op_type,
                       " is supported only where it computes shapes or other constants, and here "
                       "it depends on the data or on a weight"));
    }
    if (node.output(0).empty()) return absl::InvalidArgumentError("its first output has no name");
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i].empty() || schema.configures(i)) continue;
      const DType dtype = result_.values.at(node.inputs[i]).dtype;
      if (dtype == DType::kFloat32 && !(IsGather(schema) && i == 1)) continue;
      if (dtype == DType::kInt64 && MovesIntegers(schema)) continue;
      return absl::UnimplementedError(absl::StrCat(
          "operand '", node.inputs[i], "' is ", DTypeName(dtype),
          "; only float32 values, and int64 ones that a Gather reads, can be computed on a batch"));
    }
    const DType dst = result_.values.at(node.output(0)).dtype;
    if (dst == DType::kFloat32 || (dst == DType::kInt64 && MovesIntegers(schema))) {
      return absl::OkStatus();
    }
    return absl::UnimplementedError(absl::StrCat("its result is ", DTypeName(dst),
                                                 "; only float32 can be computed on a batch"));
  }

  absl::Status FindLiveNodes() {
    std::set<std::string> needed;
    for (const ValueInfo& output : graph_.outputs) {
      const auto value = result_.values.find(output.name);
      if (value == result_.values.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("graph output '", output.name, "' is produced by nothing"));
      }
      if (value->second.dtype != output.dtype) {
        return absl::InvalidArgumentError(
            absl::StrCat("graph output '", output.name, "' is declared ", DTypeName(output.dtype),
                         ", but is ", DTypeName(value->second.dtype)));
      }
      needed.insert(output.name);
    }
    for (size_t i = graph_.nodes.size(); i-- > 0;) {
      const Node& node = graph_.nodes[i];
      bool is_needed = false;
      for (const std::string& output : node.outputs) {
        is_needed |= !output.empty() && needed.count(output) > 0;
      }
      if (!runs_[i] || !is_needed) continue;
      const OpSchema& schema = *FindOpSchema(node.op_type);
      const absl::Status status = CheckLive(node, schema, needed);
      if (!status.ok()) return Prefix(NodeLabel(node, static_cast<int>(i)), status);
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        if (schema.is_statistic(k)) {
          statistics_.insert(node.inputs[k]);
        } else if (!node.inputs[k].empty() && !schema.configures(k)) {
          needed.insert(node.inputs[k]);
        }
      }
      result_.live_nodes.push_back(static_cast<int>(i));
    }
    std::reverse(result_.live_nodes.begin(), result_.live_nodes.end());
    needed_ = std::move(needed);
    return absl::OkStatus();
  }

  absl::Status CheckLive(const Node& node, const OpSchema& schema,
                         const std::set<std::string>& needed) const {
    RETURN_IF_ERROR(CheckRuns(node, schema));
    for (size_t k = 1; k < node.outputs.size(); ++k) {
      if (!node.outputs[k].empty() && needed.count(node.outputs[k]) > 0) {
        return absl::UnimplementedError(
            absl::StrCat("output '", node.outputs[k], "' (number ", k,
                         ") is used, but only the first output is supported"));
      }
    }
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!schema.is_statistic(k)) continue;
      const auto it = initializers_.find(node.inputs[k]);
      if (it == initializers_.end() || it->second->dtype() != DType::kFloat32) {
        return absl::UnimplementedError(absl::StrCat(
            "operand '", node.inputs[k], "' is a running statistic and must be a float32 weight"));
      }
    }
    return absl::OkStatus();
  }

  void NameParameters() {
    for (const Initializer& i : graph_.initializers) {
      if (statistics_.count(i.name) > 0) {
        result_.statistics.push_back(i.name);
      } else if (needed_.count(i.name) > 0 && !IsRankZeroOrInteger(i.value)) {
        result_.parameters.push_back(i.name);
      }
    }
  }

  const Graph& graph_;
  InferredGraph result_;
  std::map<std::string, const Tensor*> initializers_;
  std::vector<bool> runs_;  // By node: not folded.
  int64_t folded_elements_ = 0;
  std::set<std::string> needed_;
  std::set<std::string> statistics_;
};

}  // namespace

absl::StatusOr<InferredGraph> InferShapes(const Graph& graph,
                                          const std::map<std::string, Shape>& input_shapes) {
  return Inference(graph).Run(input_shapes);
}

const Tensor* ConstantValue(const Graph& graph, const InferredGraph& inferred,
                            const std::string& name) {
  const auto constant = inferred.constants.find(name);
  if (constant != inferred.constants.end()) return &constant->second;
  const Initializer* initializer = graph.FindInitializer(name);
  return initializer == nullptr ? nullptr : &initializer->value;
}

}  // namespace topiary
