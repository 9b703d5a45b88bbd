#include "worker/model/inference_form.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/unused.h"

namespace topiary {
namespace {

// Edits one graph. Used once.
class Converter {
 public:
  explicit Converter(Graph graph) : graph_(std::move(graph)) {
    for (const Node& node : graph_.nodes) {
      for (const std::string& input : node.inputs) ++uses_[input];
    }
    for (const ValueInfo& output : graph_.outputs) ++uses_[output.name];
  }

  absl::StatusOr<Graph> Convert() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      Node& node = graph_.nodes[i];
      if (!node.domain.empty()) continue;
      if (node.op_type == "BatchNormalization") {
        RETURN_IF_ERROR(KeepFirstOutput(node, static_cast<int>(i)));
        EraseAttribute(node, "training_mode");
      } else if (node.op_type == "Dropout") {
        RETURN_IF_ERROR(KeepFirstOutput(node, static_cast<int>(i)));
        if (node.inputs.size() > 2) gone_.insert(node.inputs[2]);
        if (node.inputs.size() > 2) node.inputs.resize(2);
        while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
      }
    }
    RemoveUnused(gone_, &graph_);
    return std::move(graph_);
  }

 private:
  absl::Status KeepFirstOutput(Node& node, int index) {
    for (size_t k = 1; k < node.outputs.size(); ++k) {
      const std::string& output = node.outputs[k];
      if (output.empty()) continue;
      if (uses_[output] > 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            NodeLabel(node, index), ": its output '", output,
            "' is used, but exists only while training; remove it from the model's outputs"));
      }
      gone_.insert(output);
    }
    node.outputs.resize(std::min<size_t>(1, node.outputs.size()));
    return absl::OkStatus();
  }

  static void EraseAttribute(Node& node, const std::string& name) {
    auto& list = node.attributes;
    list.erase(std::remove_if(list.begin(), list.end(),
                              [&](const Attribute& a) { return a.name == name; }),
               list.end());
  }

  Graph graph_;
  std::map<std::string, int> uses_;
  std::set<std::string> gone_;  // Values that nothing may read any more.
};

}  // namespace

absl::StatusOr<Graph> InferenceForm(const Graph& graph) {
  return Converter(graph.Clone()).Convert();
}

}  // namespace topiary
