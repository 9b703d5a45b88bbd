#include "worker/engine/fusion.h"

#include <algorithm>
#include <map>
#include <utility>

namespace topiary {
namespace {

bool CanRectify(const std::string& op_type) {
  return op_type == "Conv" || op_type == "Gemm" || op_type == "MatMul" ||
         op_type == "BatchNormalization" || op_type == "Add";
}

class Fuser {
 public:
  Fuser(const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& kept)
      : graph_(graph), inferred_(inferred), kept_(kept) {
    for (int index : inferred.live_nodes) {
      for (const std::string& input : graph.nodes[index].inputs) users_[input].push_back(index);
    }
  }

  std::vector<FusedNode> Run() {
    std::vector<std::pair<int, FusedNode>>
        placed;  // By the last node, whose operands are all there.
    for (int index : inferred_.live_nodes) {
      if (absorbed_.count(index) != 0) continue;
      FusedNode fused;
      fused.index = index;
      fused.result = graph_.nodes[index].output(0);
      const int last = Extend(index, &fused);
      placed.emplace_back(last, std::move(fused));
    }
    std::sort(placed.begin(), placed.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<FusedNode> result;
    for (auto& [last, fused] : placed) result.push_back(std::move(fused));
    return result;
  }

 private:
  // The only node that uses `value`, or -1.
  int OnlyUser(const std::string& value) const {
    const auto users = users_.find(value);
    if (kept_.count(value) != 0 || users == users_.end() || users->second.size() != 1) return -1;
    return absorbed_.count(users->second[0]) != 0 ? -1 : users->second[0];
  }

  // Takes following nodes into `fused`; returns the index of its last node.
  int Extend(int index, FusedNode* fused) {
    const std::string& op_type = graph_.nodes[index].op_type;
    if (!CanRectify(op_type)) return index;
    const int next = OnlyUser(fused->result);
    if (next < 0) return index;
    const Node& user = graph_.nodes[next];
    if (user.op_type == "Relu") {
      absorbed_.insert(next);
      fused->relu = true;
      fused->result = user.output(0);
      return next;
    }
    if (op_type == "BatchNormalization" && user.op_type == "Add")
      return ExtendByAdd(next, fused, index);
    return index;
  }

  int ExtendByAdd(int add, FusedNode* fused, int index) {
    const Node& node = graph_.nodes[add];
    const std::string& residual = node.input(0) == fused->result ? node.input(1) : node.input(0);
    const int relu = OnlyUser(node.output(0));
    const bool equal =
        inferred_.values.at(residual).shape == inferred_.values.at(fused->result).shape;
    if (relu < 0 || graph_.nodes[relu].op_type != "Relu" || !equal || residual == fused->result) {
      return index;
    }
    absorbed_.insert(add);
    absorbed_.insert(relu);
    fused->residual = residual;
    fused->relu = true;
    fused->result = graph_.nodes[relu].output(0);
    return relu;
  }

  const Graph& graph_;
  const InferredGraph& inferred_;
  const std::set<std::string>& kept_;
  std::map<std::string, std::vector<int>> users_;  // One entry per operand.
  std::set<int> absorbed_;
};

}  // namespace

std::vector<FusedNode> FuseNodes(const Graph& graph, const InferredGraph& inferred,
                                 const std::set<std::string>& kept) {
  return Fuser(graph, inferred, kept).Run();
}

}  // namespace topiary
