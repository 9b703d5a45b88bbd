#include "worker/model/residual_branches.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/model/weight_operands.h"

namespace topiary {
namespace {

// Between a branch's last weight and its sum, at most: a file may have any number.
constexpr int kMostNodes = 64;

// Nodes to look at on the way back from a sum to where its branch came from, at most. It bounds the
// time that sums of what is unrelated take.
constexpr int kMostSearched = 5000;

// What multiplies its result by a >= 0 where its first operand is multiplied by it.
bool PassesScalesOn(const std::string& op_type) {
  static const auto* const kOperators = new std::set<std::string>{
      "AveragePool", "Cast",    "Dropout", "Flatten", "Gather",  "GlobalAveragePool", "Identity",
      "LeakyRelu",   "MaxPool", "Relu",    "Reshape", "Squeeze", "Transpose",         "Unsqueeze"};
  return kOperators->count(op_type) > 0;
}

// A file may have very many nodes and sums: values are numbered, and what is done for each sum goes
// over the nodes of its branch alone, or is bounded.
class Finder {
 public:
  Finder(const Graph& graph, const InferredGraph& inferred)
      : graph_(graph),
        inferred_(inferred),
        operands_(graph, inferred),
        parameters_(inferred.parameters.begin(), inferred.parameters.end()),
        inputs_(graph.nodes.size()),
        outputs_(graph.nodes.size()),
        ends_branch_(graph.nodes.size(), false),
        own_to_(graph.nodes.size(), kNone) {
    for (const int index : inferred.live_nodes) {
      const Node& node = graph.nodes[index];
      for (const std::string& input : node.inputs) {
        if (input.empty()) continue;
        inputs_[index].push_back(NumberOf(input));
        users_[inputs_[index].back()].push_back(index);
      }
      for (const std::string& output : node.outputs) {
        if (output.empty()) continue;
        outputs_[index].push_back(NumberOf(output));
        makers_[outputs_[index].back()] = index;
      }
    }
    for (const ValueInfo& output : graph.outputs) users_[NumberOf(output.name)].push_back(kCaller);
    seen_in_.assign(makers_.size(), 0);
    CountUses();
  }

  std::vector<ResidualBranch> Find() {
    std::vector<ResidualBranch> branches;
    for (const int index : inferred_.live_nodes) {
      if (graph_.nodes[index].op_type != "Add") continue;
      for (const size_t operand : {0, 1}) {
        if (!MayBeBranch(index, operand)) continue;
        // Those in it came before, so that it can tell at once whether it is an outer one, of which
        // all of a network may be one: those give way.
        ends_branch_[index] = true;
        ResidualBranch branch;
        if (Describe(index, operand, &branch)) branches.push_back(std::move(branch));
      }
    }
    return branches;
  }

 private:
  static constexpr int kCaller = -1;  // Of the graph, among the users of a value.
  static constexpr int kNone = -1;

  int NumberOf(const std::string& value) {
    const auto [at, added] = numbers_.try_emplace(value, static_cast<int>(makers_.size()));
    if (added) {
      makers_.push_back(kNone);
      users_.emplace_back();
    }
    return at->second;
  }

  // Of initializers, also behind a Transpose.
  void CountUses() {
    for (const Node& node : graph_.nodes) {
      if (operands_.IsTransposition(node.output(0))) continue;
      for (const std::string& input : node.inputs) ++uses_[operands_.Behind(input)];
    }
    for (const ValueInfo& output : graph_.outputs) ++uses_[operands_.Behind(output.name)];
  }

  const Shape& ShapeOf(const std::string& value) const { return inferred_.values.at(value).shape; }
  // The live node that makes a value, or kNone.
  int MakerOf(const std::string& value) const {
    const auto found = numbers_.find(value);
    return found == numbers_.end() ? kNone : makers_[found->second];
  }

  // Whether operand `operand` of a sum is computed from the other, and read by the sum alone.
  bool MayBeBranch(int sum, size_t operand) {
    const int branch = inputs_[sum][operand];
    const int skipped = inputs_[sum][1 - operand];
    if (makers_[branch] == kNone || branch == skipped || users_[branch].size() != 1) return false;
    const Node& node = graph_.nodes[sum];
    if (graph_.FindInitializer(node.input(1 - operand)) != nullptr) return false;
    // Nothing is stretched: the sum can be taken out.
    if (ShapeOf(node.input(operand)) != ShapeOf(node.input(1 - operand))) return false;
    return DependsOn(branch, skipped);
  }

  bool DependsOn(int value, int source) {
    ++search_;
    std::vector<int> open = {value};
    for (int searched = 0; !open.empty() && searched < kMostSearched;) {
      const int at = open.back();
      open.pop_back();
      if (at == source) return true;
      const int maker = makers_[at];
      // What was made before `source` cannot depend on it.
      if (maker == kNone || maker <= makers_[source] || seen_in_[at] == search_) continue;
      seen_in_[at] = search_;
      ++searched;
      open.insert(open.end(), inputs_[maker].begin(), inputs_[maker].end());
    }
    return false;
  }

  // Whether no other branch lies in it.
  bool Describe(int sum, size_t operand, ResidualBranch* branch) {
    branch->sum = sum;
    branch->output = graph_.nodes[sum].input(operand);
    branch->skipped = graph_.nodes[sum].input(1 - operand);
    if (!FindNodes(inputs_[sum][operand], sum, &branch->nodes)) return false;
    for (const int index : branch->nodes) {
      branch->attends = branch->attends || graph_.nodes[index].op_type == "Softmax";
    }
    branch->reason = FindLast(branch->output, kMostNodes, &branch->last);
    if (!branch->reason.empty()) branch->last.clear();
    std::sort(branch->last.begin(), branch->last.end());
    return true;
  }

  // From the last node to the first, those that nothing else reads; false where a branch ends with
  // one of them.
  bool FindNodes(int output, int sum, std::vector<int>* nodes) {
    std::set<int> open = {makers_[output]};
    while (!open.empty()) {
      // All nodes after it that are the branch's are known.
      const int index = *std::prev(open.end());
      open.erase(index);
      const bool own = std::all_of(outputs_[index].begin(), outputs_[index].end(), [&](int made) {
        return made == output ||
               std::all_of(users_[made].begin(), users_[made].end(),
                           [&](int user) { return user != kCaller && own_to_[user] == sum; });
      });
      if (!own) continue;
      if (ends_branch_[index]) return false;
      own_to_[index] = sum;
      nodes->push_back(index);
      for (const int input : inputs_[index]) {
        if (makers_[input] != kNone) open.insert(makers_[input]);
      }
    }
    std::reverse(nodes->begin(), nodes->end());
    return true;
  }

  // Adds what must be multiplied for `value` to be; returns why that cannot be done, or nothing.
  // Goes back over at most `nodes`.
  std::string FindLast(const std::string& value, int nodes, std::vector<std::string>* last) const {
    if (nodes == 0) return "too many nodes follow its last weight";
    const int maker = MakerOf(value);
    if (maker == kNone) return absl::StrCat("'", value, "' is no result of a weight");
    const Node& node = graph_.nodes[maker];
    if (users_[numbers_.at(value)].size() != 1) {
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

  std::string FindAddend(const std::string& value, int nodes,
                         std::vector<std::string>* last) const {
    return MakerOf(value) != kNone ? FindLast(value, nodes, last) : Take(value, last);
  }

  // Of a product one factor is enough; not the divisor. What was added on a way that fails goes.
  std::string FindFactor(const Node& node, int nodes, std::vector<std::string>* last) const {
    const size_t before = last->size();
    std::string reason;
    for (const size_t operand : {0, 1}) {
      if (node.op_type == "Div" && operand == 1) break;
      reason = FindAddend(node.input(operand), nodes, last);
      if (reason.empty()) break;
      last->resize(before);
    }
    return reason;
  }

  // A parameter that nothing else reads; so it is taken once.
  std::string Take(const std::string& name, std::vector<std::string>* last) const {
    if (parameters_.count(name) == 0) return absl::StrCat("'", name, "' is not trained");
    if (uses_.at(name) != 1) return absl::StrCat("'", name, "' has other uses");
    if (ShapeOf(name).element_count() == 0) return absl::StrCat("'", name, "' has no elements");
    last->push_back(name);
    return "";
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  const WeightOperands operands_;
  const std::set<std::string> parameters_;
  std::map<std::string, int> uses_;  // By initializer.
  std::unordered_map<std::string, int> numbers_;
  // By the number of a value that live nodes read or make.
  std::vector<int> makers_;
  std::vector<std::vector<int>> users_;
  std::vector<int> seen_in_;  // The search that came to it last.
  // By node.
  std::vector<std::vector<int>> inputs_;
  std::vector<std::vector<int>> outputs_;
  std::vector<bool> ends_branch_;
  std::vector<int> own_to_;  // The sum of the branch that it serves alone, if one is known.
  int search_ = 0;           // Of DependsOn(): its number.
};

}  // namespace

std::vector<ResidualBranch> FindResidualBranches(const Graph& graph,
                                                 const InferredGraph& inferred) {
  return Finder(graph, inferred).Find();
}

}  // namespace topiary
