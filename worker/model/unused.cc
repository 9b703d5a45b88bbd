#include "worker/model/unused.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace topiary {

void RemoveUnused(const std::set<std::string>& left, Graph* graph) {
  std::map<std::string, int> uses;
  for (const Node& node : graph->nodes) {
    for (const std::string& input : node.inputs) ++uses[input];
  }
  for (const ValueInfo& output : graph->outputs) ++uses[output.name];
  std::set<std::string> gone;
  for (const std::string& name : left) {
    if (!name.empty() && uses[name] == 0) gone.insert(name);
  }
  if (gone.empty()) return;
  // From the last node to the first, so that a node goes after those that read it.
  std::vector<Node> kept;
  for (size_t i = graph->nodes.size(); i-- > 0;) {
    Node& node = graph->nodes[i];
    const bool unused = std::all_of(
        node.outputs.begin(), node.outputs.end(),
        [&gone](const std::string& name) { return name.empty() || gone.count(name) > 0; });
    if (!unused) {
      kept.push_back(std::move(node));
      continue;
    }
    for (const std::string& input : node.inputs) {
      if (!input.empty() && --uses[input] == 0) gone.insert(input);
    }
  }
  std::reverse(kept.begin(), kept.end());
  graph->nodes = std::move(kept);
  const auto is_gone = [&gone](const auto& named) { return gone.count(named.name) > 0; };
  graph->initializers.RemoveIf(is_gone);
  auto& infos = graph->value_infos;
  infos.erase(std::remove_if(infos.begin(), infos.end(), is_gone), infos.end());
}

}  // namespace topiary
