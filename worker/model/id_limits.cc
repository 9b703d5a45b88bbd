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
      const Shape& shape = inferred_.values.at(input.name).shape;
      if (const absl::Status status = CheckSize(shape); !status.ok()) {
        return absl::Status(status.code(),
                            absl::StrCat("input '", input.name, "': ", status.message()));
      }
      Tensor positions(DType::kInt64, shape);
      std::iota(positions.data<int64_t>(), positions.data<int64_t>() + positions.element_count(),
                int64_t{0});
      limits_[input.name].assign(positions.element_count(), std::numeric_limits<int64_t>::max());
      traced_[input.name] = {input.name, std::move(positions)};
    }
    for (const int index : inferred_.live_nodes) {
      const absl::Status status = Visit(graph_.nodes[index]);
      if (!status.ok()) {
        return absl::Status(status.code(), absl::StrCat(NodeLabel(graph_.nodes[index], index), ": ",
                                                        status.message()));
      }
    }
    return std::move(limits_);
  }

 private:
  struct Traced {
    std::string input;
    Tensor positions;
  };

  // What is traced is held in memory, and so must not be as large as a hostile file says.
  static absl::Status CheckSize(const Shape& shape) {
    if (shape.CheckedElementCount(kMaxFoldedElements).ok()) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat("an example has ids of shape ",
                                                     shape.ToString(), "; at most ",
                                                     kMaxFoldedElements, " are supported"));
  }

  const Traced* Find(const std::string& value) const {
    const auto it = traced_.find(value);
    return it == traced_.end() ? nullptr : &it->second;
  }

  absl::Status Visit(const Node& node) {
    const Traced* data = Find(node.input(0));
    const Traced* indices = node.op_type == "Gather" ? Find(node.input(1)) : nullptr;
    if (data != nullptr && indices != nullptr) {
      return absl::UnimplementedError("its data and its indices both come from the input");
    }
    if (indices != nullptr) return Limit(node, *indices);
    return data != nullptr ? Move(node, *data) : absl::OkStatus();
  }

  absl::Status Limit(const Node& node, const Traced& indices) {
    const Shape& table = inferred_.values.at(node.input(0)).shape;
    ASSIGN_OR_RETURN(const int64_t raw, IntAttribute(node, "axis", 0));
    ASSIGN_OR_RETURN(const int axis, NormalizeAxis(raw, table.rank()));
    std::vector<int64_t>& limits = limits_[indices.input];
    for (const int64_t position : indices.positions.span<int64_t>()) {
      limits[position] = std::min(limits[position], table[axis]);
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
    RETURN_IF_ERROR(CheckSize(type.shape));
    ASSIGN_OR_RETURN(Tensor moved, schema->fold(op, type));
    traced_[node.output(0)] = {data.input, std::move(moved)};
    return absl::OkStatus();
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  std::map<std::string, Traced> traced_;
  std::map<std::string, std::vector<int64_t>> limits_;
};

}  // namespace

absl::StatusOr<std::map<std::string, std::vector<int64_t>>> FindIdLimits(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  return IdTracer(graph, inferred).Run();
}

}  // namespace topiary
