#include "worker/model/residual_branches.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/model/weight_operands.h"

namespace topiary {
namespace {

// Between a branch's last weight and its sum, at most: a file may have any number.
constexpr int kMostNodes = 64;

// What multiplies its result by a >= 0 where its first operand is multiplied by it.
bool PassesScalesOn(const std::string& op_type) {
  static const auto* const kOperators = new std::set<std::string>{
      "AveragePool", "Cast",    "Dropout", "Flatten", "Gather",  "GlobalAveragePool", "Identity",
      "LeakyRelu",   "MaxPool", "Relu",    "Reshape", "Squeeze", "Transpose",         "Unsqueeze"};
  return kOperators->count(op_type) > 0;
}

class Finder {
 public:
  Finder(const Graph& graph, const InferredGraph& inferred)
      : graph_(graph),
        inferred_(inferred),
        operands_(graph, inferred),
        parameters_(inferred.parameters.begin(), inferred.parameters.end()) {
    for (const int index : inferred.live_nodes) {
      for (const std::string& output : graph.nodes[index].outputs) makers_[output] = index;
      for (const std::string& input : graph.nodes[index].inputs) users_[input].push_back(index);
    }
    for (const ValueInfo& output : graph.outputs) users_[output.name].push_back(-1);
  }

  std::vector<ResidualBranch> Find() {
    std::vector<ResidualBranch> branches;
    for (const int index : inferred_.live_nodes) {
      const Node& node = graph_.nodes[index];
      if (node.op_type != "Add") continue;
      for (const size_t operand : {0, 1}) {
        if (MayBeBranch(node, operand)) branches.push_back(Describe(index, operand));
      }
    }
    // The outer ones, of which all of a network may be one, give way.
    std::set<int> sums;
    for (const ResidualBranch& branch : branches) sums.insert(branch.sum);
    branches.erase(std::remove_if(branches.begin(), branches.end(),
                                  [&](const ResidualBranch& branch) {
                                    return std::any_of(
                                        branch.nodes.begin(), branch.nodes.end(),
                                        [&](int node) { return sums.count(node) > 0; });
                                  }),
                   branches.end());
    return branches;
  }

 private:
  const Shape& ShapeOf(const std::string& value) const { return inferred_.values.at(value).shape; }

  // Whether operand `operand` of a sum is computed from the other, and read by the sum alone.
  bool MayBeBranch(const Node& sum, size_t operand) const {
    const std::string& branch = sum.input(operand);
    const std::string& skipped = sum.input(1 - operand);
    if (makers_.count(branch) == 0 || branch == skipped || users_.at(branch).size() != 1) {
      return false;
    }
    if (graph_.FindInitializer(skipped) != nullptr) return false;
    // Nothing is stretched: the sum can be taken out.
    if (ShapeOf(branch) != ShapeOf(skipped)) return false;
    return DependsOn(branch, skipped);
  }

  bool DependsOn(const std::string& value, const std::string& source) const {
    std::set<std::string> seen;
    std::vector<std::string> open = {value};
    while (!open.empty()) {
      const std::string at = std::move(open.back());
      open.pop_back();
      if (at == source) return true;
      const auto maker = makers_.find(at);
      if (maker == makers_.end() || !seen.insert(at).second) continue;
      const Node& node = graph_.nodes[maker->second];
      open.insert(open.end(), node.inputs.begin(), node.inputs.end());
    }
    return false;
  }

  ResidualBranch Describe(int sum, size_t operand) const {
    ResidualBranch branch;
    branch.sum = sum;
    branch.output = graph_.nodes[sum].input(operand);
    branch.skipped = graph_.nodes[sum].input(1 - operand);
    branch.nodes = NodesOf(branch);
    for (const int index : branch.nodes) {
      branch.attends = branch.attends || graph_.nodes[index].op_type == "Softmax";
    }
    std::set<std::string> last;
    branch.reason = FindLast(branch.output, kMostNodes, &last);
    if (branch.reason.empty()) branch.last.assign(last.begin(), last.end());
    return branch;
  }

  // From the last node to the first: those that nothing else reads.
  std::vector<int> NodesOf(const ResidualBranch& branch) const {
    std::set<int> nodes;
    for (auto index = inferred_.live_nodes.rbegin(); index != inferred_.live_nodes.rend();
         ++index) {
      const auto serves = [&](const std::string& output) {
        if (output == branch.output) return true;
        const auto users = users_.find(output);
        return users == users_.end() ||
               std::all_of(users->second.begin(), users->second.end(),
                           [&](int user) { return nodes.count(user) > 0; });
      };
      const Node& node = graph_.nodes[*index];
      const bool used =
          std::any_of(node.outputs.begin(), node.outputs.end(),
                      [&](const std::string& output) { return users_.count(output) > 0; });
      if (used && std::all_of(node.outputs.begin(), node.outputs.end(), serves)) {
        nodes.insert(*index);
      }
    }
    return {nodes.begin(), nodes.end()};
  }

  // Adds what must be multiplied for `value` to be; returns why that cannot be done, or nothing.
  // Goes back over at most `nodes`.
  std::string FindLast(const std::string& value, int nodes, std::set<std::string>* last) const {
    if (nodes == 0) return "too many nodes follow its last weight";
    const auto maker = makers_.find(value);
    if (maker == makers_.end()) return absl::StrCat("'", value, "' is no result of a weight");
    const Node& node = graph_.nodes[maker->second];
    if (users_.at(value).size() != 1) {
      return absl::StrCat("'", value, "', which its last weight makes, is read elsewhere too");
    }
    if (const auto operand = operands_.Of(node)) {
      std::string reason = Take(operand->weight, last);
      const bool biased = node.op_type != "MatMul" && !node.input(2).empty();
      return reason.empty() && biased ? FindAddend(node.input(2), nodes - 1, last) : reason;
    }
    if (PassesScalesOn(node.op_type)) return FindLast(node.input(0), nodes - 1, last);
    if (node.op_type == "BatchNormalization" || node.op_type == "LayerNormalization") {
      std::string reason = Take(node.input(1), last);
      return reason.empty() && !node.input(2).empty() ? Take(node.input(2), last) : reason;
    }
    if (node.op_type == "Add" || node.op_type == "Sub") {
      std::string reason = FindAddend(node.input(0), nodes - 1, last);
      return reason.empty() ? FindAddend(node.input(1), nodes - 1, last) : reason;
    }
    if (node.op_type == "Mul" || node.op_type == "Div" || node.op_type == "MatMul") {
      return FindFactor(node, nodes - 1, last);
    }
    return absl::StrCat("it ends with a ", node.op_type, ", which does not pass a scale on");
  }

  std::string FindAddend(const std::string& value, int nodes, std::set<std::string>* last) const {
    return makers_.count(value) > 0 ? FindLast(value, nodes, last) : Take(value, last);
  }

  // Of a product one factor is enough; not the divisor. What may fail is tried on a copy.
  std::string FindFactor(const Node& node, int nodes, std::set<std::string>* last) const {
    std::string reason;
    for (const size_t operand : {0, 1}) {
      if (node.op_type == "Div" && operand == 1) break;
      std::set<std::string> tried = *last;
      reason = FindAddend(node.input(operand), nodes, &tried);
      if (!reason.empty()) continue;
      *last = std::move(tried);
      return "";
    }
    return reason;
  }

  // A parameter that nothing else reads.
  std::string Take(const std::string& name, std::set<std::string>* last) const {
    if (parameters_.count(name) == 0) return absl::StrCat("'", name, "' is not trained");
    if (Uses(name) != 1) return absl::StrCat("'", name, "' has other uses");
    last->insert(name);
    return "";
  }

  // Of an initializer, also behind a Transpose.
  int64_t Uses(const std::string& name) const {
    int64_t uses = 0;
    for (const Node& node : graph_.nodes) {
      for (const std::string& input : node.inputs) {
        uses += operands_.Behind(input) == name && !operands_.IsTransposition(node.output(0));
      }
    }
    for (const ValueInfo& output : graph_.outputs) uses += operands_.Behind(output.name) == name;
    return uses;
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  const WeightOperands operands_;
  const std::set<std::string> parameters_;
  std::map<std::string, int> makers_;              // By value, of live nodes.
  std::map<std::string, std::vector<int>> users_;  // The same; -1 for the graph's caller.
};

}  // namespace

std::vector<ResidualBranch> FindResidualBranches(const Graph& graph,
                                                 const InferredGraph& inferred) {
  return Finder(graph, inferred).Find();
}

}  // namespace topiary
