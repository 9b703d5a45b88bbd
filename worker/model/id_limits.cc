#include "worker/model/id_limits.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"
#include "worker/model/op_schema.h"
#include "worker/model/shape_inference.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

// Follows the numbers of one example through the nodes that only move them: in place of the
// numbers, each element holds its position in the input it came from.
class IdTracer {
 public:
  IdTracer(const Graph& graph, const InferredGraph& inferred)
      : graph_(graph), inferred_(inferred) {}

  absl::StatusOr<std::map<std::string, std::vector<int64_t>>> Run() {
    for (const ValueInfo& input : graph_.inputs) {
      if (input.dtype != DType::kInt64) continue;
      RETURN_IF_ERROR(In(absl::StrCat("input '", input.name, "'"), Start(input.name)));
    }
    for (const int index : inferred_.live_nodes) {
      const Node& node = graph_.nodes[index];
      RETURN_IF_ERROR(In(NodeLabel(node, index), Visit(node)));
    }
    return std::move(limits_);
  }

 private:
  struct Traced {
    std::string input;
    Tensor positions;
  };

  static absl::Status In(const std::string& place, const absl::Status& status) {
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(place, ": ", status.message()));
  }

  // What is traced is held in memory, and so must not be as large as a hostile file says.
  absl::Status Hold(const Shape& shape) {
    const absl::StatusOr<int64_t> count = shape.CheckedElementCount(kMaxFoldedElements);
    if (count.ok()) held_elements_ += *count;
    if (count.ok() && held_elements_ <= kMaxFoldedElements) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("it has ids of shape ", shape.ToString(), " for one example: at most ",
                     kMaxFoldedElements, " in all values that hold ids are supported"));
  }

  absl::Status Start(const std::string& input) {
    const Shape& shape = inferred_.values.at(input).shape;
    RETURN_IF_ERROR(Hold(shape));
    Tensor positions(DType::kInt64, shape);
    std::iota(positions.data<int64_t>(), positions.data<int64_t>() + positions.element_count(),
              int64_t{0});
    limits_[input].assign(positions.element_count(), std::numeric_limits<int64_t>::max());
    traced_[input] = {input, std::move(positions)};
    return absl::OkStatus();
  }

  const Traced* Find(const std::string& value) const {
    const auto it = traced_.find(value);
    return it == traced_.end() ? nullptr : &it->second;
  }

  absl::Status Visit(const Node& node) {
    const Traced* data = Find(node.input(0));
    if (node.op_type != "Gather") return data != nullptr ? Move(node, *data) : absl::OkStatus();
    const Traced* indices = Find(node.input(1));
    if (data != nullptr && indices != nullptr) {
      return absl::UnimplementedError("its data and its indices both come from the input");
    }
    if (indices != nullptr) return Limit(node, *indices);
    const Tensor* constant = ConstantValue(graph_, inferred_, node.input(1));
    if (constant == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("its indices '", node.input(1),
                       "' are numbers of a table; they must be ids of an input, or constant"));
    }
    return data != nullptr ? Move(node, *data) : CheckIndices(node, *constant);
  }

  // The rows of the axis that `node`, a Gather, picks from.
  absl::StatusOr<int64_t> RowsOf(const Node& node) const {
    const Shape& table = inferred_.values.at(node.input(0)).shape;
    ASSIGN_OR_RETURN(const int axis, ReadAxis(node, table.rank()));
    return table[axis];
  }

  absl::Status Limit(const Node& node, const Traced& indices) {
    ASSIGN_OR_RETURN(const int64_t rows, RowsOf(node));
    std::vector<int64_t>& limits = limits_[indices.input];
    for (const int64_t position : indices.positions.span<int64_t>()) {
      limits[position] = std::min(limits[position], rows);
    }
    return absl::OkStatus();
  }

  absl::Status CheckIndices(const Node& node, const Tensor& indices) const {
    ASSIGN_OR_RETURN(const int64_t rows, RowsOf(node));
    for (const int64_t index : indices.span<int64_t>()) {
      if (index >= -rows && index < rows) continue;
      return absl::InvalidArgumentError(absl::StrCat("index ", index, " is outside the ", rows,
                                                     " rows of '", node.input(0), "'"));
    }
    return absl::OkStatus();
  }

  absl::Status Move(const Node& node, const Traced& data) {
    const OpSchema* schema = FindOpSchema(node.op_type);
    OpContext op{node, {}, {}};
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::string& name = node.inputs[i];
      op.types.push_back(name.empty() ? nullptr : &inferred_.values.at(name));
      op.constants.push_back(i == 0 ? &data.positions : ConstantValue(graph_, inferred_, name));
    }
    const ValueType& type = inferred_.values.at(node.output(0));
    RETURN_IF_ERROR(Hold(type.shape));
    ASSIGN_OR_RETURN(Tensor moved, schema->fold(op, type));
    traced_[node.output(0)] = {data.input, std::move(moved)};
    return absl::OkStatus();
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  std::map<std::string, Traced> traced_;
  std::map<std::string, std::vector<int64_t>> limits_;
  int64_t held_elements_ = 0;
};

}  // namespace

absl::StatusOr<std::map<std::string, std::vector<int64_t>>> FindIdLimits(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  return IdTracer(graph, inferred).Run();
}

}  // namespace topiary
