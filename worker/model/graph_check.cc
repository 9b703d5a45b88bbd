#include "worker/model/graph_check.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Where a value comes from: a node's index, or kSource for inputs and initializers.
constexpr int kSource = -1;
using Producers = std::map<std::string, int>;

absl::Status AddProducer(const Graph& graph, const std::string& name, int producer,
                         Producers& producers) {
  if (name.empty()) return absl::InvalidArgumentError("an input or initializer has no name");
  const auto [it, added] = producers.emplace(name, producer);
  if (added) return absl::OkStatus();
  const auto describe = [&graph](int index) {
    return index == kSource ? std::string("an input or initializer")
                            : NodeLabel(graph.nodes[index], index);
  };
  return absl::InvalidArgumentError(absl::StrCat("value '", name, "' is produced twice: by ",
                                                 describe(it->second), " and by ",
                                                 describe(producer)));
}

absl::StatusOr<Producers> FindProducers(const Graph& graph) {
  Producers producers;
  for (const ValueInfo& input : graph.inputs) {
    RETURN_IF_ERROR(AddProducer(graph, input.name, kSource, producers));
  }
  for (const Initializer& initializer : graph.initializers) {
    RETURN_IF_ERROR(AddProducer(graph, initializer.name, kSource, producers));
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    bool has_output = false;
    for (const std::string& output : graph.nodes[i].outputs) {
      if (output.empty()) continue;
      has_output = true;
      RETURN_IF_ERROR(AddProducer(graph, output, static_cast<int>(i), producers));
    }
    if (!has_output) {
      return absl::InvalidArgumentError(
          absl::StrCat(NodeLabel(graph.nodes[i], static_cast<int>(i)), " has no output"));
    }
  }
  return producers;
}

// Whether some node depends on itself (Kahn's algorithm leaves such nodes over).
bool HasCycle(const Graph& graph, const Producers& producers) {
  const size_t count = graph.nodes.size();
  std::vector<int> waiting(count, 0);
  std::vector<std::vector<int>> users(count);
  for (size_t i = 0; i < count; ++i) {
    for (const std::string& input : graph.nodes[i].inputs) {
      const auto it = producers.find(input);
      if (it == producers.end() || it->second == kSource) continue;
      users[it->second].push_back(static_cast<int>(i));
      ++waiting[i];
    }
  }
  std::vector<int> ready;
  for (size_t i = 0; i < count; ++i) {
    if (waiting[i] == 0) ready.push_back(static_cast<int>(i));
  }
  size_t done = 0;
  for (; !ready.empty(); ++done) {
    const int node = ready.back();
    ready.pop_back();
    for (int user : users[node]) {
      if (--waiting[user] == 0) ready.push_back(user);
    }
  }
  return done < count;
}

absl::Status CheckOperand(const Graph& graph, const Producers& producers, int index,
                          const std::string& operand) {
  if (operand.empty()) return absl::OkStatus();
  const auto it = producers.find(operand);
  if (it != producers.end() && it->second < index) return absl::OkStatus();
  const std::string label = NodeLabel(graph.nodes[index], index);
  if (it == producers.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        label, " reads '", operand, "', which is no input, no initializer and no node's output"));
  }
  const std::string producer = NodeLabel(graph.nodes[it->second], it->second);
  return absl::InvalidArgumentError(
      HasCycle(graph, producers)
          ? absl::StrCat("the graph has a cycle: ", label, " reads '", operand, "' of ", producer)
          : absl::StrCat("nodes are not in topological order: ", label, " reads '", operand,
                         "' before ", producer, " makes it"));
}

}  // namespace

absl::Status CheckGraph(const Graph& graph) {
  ASSIGN_OR_RETURN(const Producers producers, FindProducers(graph));
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const std::string& input : graph.nodes[i].inputs) {
      RETURN_IF_ERROR(CheckOperand(graph, producers, static_cast<int>(i), input));
    }
  }
  if (graph.outputs.empty()) return absl::InvalidArgumentError("the graph has no outputs");
  std::set<std::string> seen;
  for (const ValueInfo& output : graph.outputs) {
    if (producers.count(output.name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("graph output '", output.name, "' is produced by nothing"));
    }
    if (!seen.insert(output.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("graph output '", output.name, "' is listed twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace topiary
