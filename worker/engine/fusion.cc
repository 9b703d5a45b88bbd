#include "worker/engine/fusion.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

bool CanRectify(const std::string& op_type) {
  return op_type == "Conv" || op_type == "Gemm" || op_type == "MatMul" ||
         op_type == "BatchNormalization" || op_type == "Add";
}

class Fuser {
 public:
  Fuser(const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& kept,
        bool differentiates)
      : graph_(graph), inferred_(inferred), kept_(kept), differentiates_(differentiates) {
    for (int index : inferred.live_nodes) {
      for (const std::string& input : graph.nodes[index].inputs) users_[input].push_back(index);
      makers_[graph.nodes[index].output(0)] = index;
    }
  }

  std::vector<FusedNode> Run() {
    std::vector<std::pair<int, FusedNode>>
        placed;  // By the last node, whose operands are all there.
    for (int index : inferred_.live_nodes) AbsorbAttention(index);
    for (int index : inferred_.live_nodes) AbsorbTranspose(index);
    for (int index : inferred_.live_nodes) {
      if (absorbed_.count(index) != 0) continue;
      FusedNode fused;
      fused.index = index;
      fused.result = graph_.nodes[index].output(0);
      const auto attention = attentions_.find(index);
      if (attention != attentions_.end()) {
        placed.push_back(attention->second);
        continue;
      }
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

  // A Transpose of a matrix of weights that one MatMul multiplies with needs no step of its own.
  void AbsorbTranspose(int index) {
    const Node& node = graph_.nodes[index];
    if (node.op_type != "Transpose") return;
    const Initializer* weight = graph_.FindInitializer(node.input(0));
    const int user = OnlyUser(node.output(0));
    if (weight == nullptr || weight->value.shape().rank() != 2 || user < 0) return;
    const absl::StatusOr<std::vector<int>> permutation = ReadPermutation(node, 2);
    const Node& product = graph_.nodes[user];
    if (!permutation.ok() || (*permutation)[0] != 1 || product.op_type != "MatMul" ||
        product.input(1) != node.output(0)) {
      return;
    }
    absorbed_.insert(index);
    transposed_[node.output(0)] = node.input(0);
  }

  // The number that `name` is in each graph of this shape; nullopt if it is no such thing.
  std::optional<float> Number(const std::string& name) const {
    const Tensor* constant = ConstantValue(graph_, inferred_, name);
    if (constant == nullptr || constant->dtype() != DType::kFloat32 ||
        constant->element_count() != 1 || IsTrained(name)) {
      return std::nullopt;
    }
    return constant->data<float>()[0];
  }

  bool IsTrained(const std::string& name) const {
    for (const auto* trained : {&inferred_.parameters, &inferred_.statistics}) {
      if (std::find(trained->begin(), trained->end(), name) != trained->end()) return true;
    }
    return false;
  }

  bool SameShape(const std::string& a, const std::string& b) const {
    return inferred_.values.at(a).shape == inferred_.values.at(b).shape;
  }

  // The node of type `op_type` that alone uses `value`, with the other operand; null if there is
  // none. The result must have the shape of `value`.
  const Node* Next(const std::string& value, absl::string_view op_type, std::string* other,
                   int* index) const {
    *index = OnlyUser(value);
    if (*index < 0) return nullptr;
    const Node& node = graph_.nodes[*index];
    if (node.op_type != op_type || !SameShape(node.output(0), value)) return nullptr;
    if (node.inputs.size() == 2) *other = node.input(0) == value ? node.input(1) : node.input(0);
    return &node;
  }

  bool IsTranspose(int index, const std::vector<int>& axes) const {
    if (index < 0 || graph_.nodes[index].op_type != "Transpose") return false;
    const auto permutation = ReadPermutation(graph_.nodes[index], static_cast<int>(axes.size()));
    return permutation.ok() && *permutation == axes;
  }

  // The value of which `value`, which only `user` reads, is the transposition; empty: it is none.
  std::string BeforeTranspose(const std::string& value, int user, const std::vector<int>& axes,
                              std::vector<int>* absorbed) const {
    const auto maker = makers_.find(value);
    const bool is_free = maker != makers_.end() && absorbed_.count(maker->second) == 0;
    if (!is_free || OnlyUser(value) != user || !IsTranspose(maker->second, axes)) return "";
    absorbed->push_back(maker->second);
    return graph_.nodes[maker->second].input(0);
  }

  // Whether `name` is the same for all examples and heads, a matrix for scores of shape `scores`,
  // and needs no gradient.
  bool IsMask(const std::string& name, const Shape& scores) const {
    const Tensor* mask = ConstantValue(graph_, inferred_, name);
    if (mask == nullptr || mask->dtype() != DType::kFloat32) return false;
    if (differentiates_ && IsTrained(name)) return false;
    const Shape& shape = mask->shape();
    return shape.rank() >= 2 && shape.element_count() == scores[2] * scores[3] &&
           shape[shape.rank() - 2] == scores[2] && shape[shape.rank() - 1] == scores[3];
  }

  // Recognizes attention from its first product on: heads are brought before the sequence, and
  // back at the end.
  void AbsorbAttention(int index) {
    const Node& product = graph_.nodes[index];
    if (product.op_type != "MatMul") return;
    const Shape& scores = inferred_.values.at(product.output(0)).shape;
    if (scores.rank() != 4 || inferred_.values.at(product.input(0)).shape.rank() != 4 ||
        inferred_.values.at(product.input(1)).shape.rank() != 4) {
      return;
    }
    FusedNode fused;
    fused.index = index;
    fused.result = product.output(0);
    FusedAttention attention;
    std::vector<int> absorbed;
    attention.query = BeforeTranspose(product.input(0), index, {0, 2, 1, 3}, &absorbed);
    attention.key = BeforeTranspose(product.input(1), index, {0, 2, 3, 1}, &absorbed);
    if (attention.query.empty() || attention.key.empty()) return;
    const std::set<int> before = absorbed_;  // What ExtendByFactor() may add to.
    ExtendByFactor(index, &fused);
    std::string other;
    int next;
    if (const Node* node = Next(fused.result, "Add", &other, &next);
        node != nullptr && IsMask(other, scores)) {
      attention.mask = other;
      fused.result = node->output(0);
      absorbed.push_back(next);
    }
    const Node* softmax = Next(fused.result, "Softmax", &other, &next);
    const bool over_keys = softmax != nullptr && ReadAxis(*softmax, 4).value_or(0) == 3;
    const int values = over_keys ? OnlyUser(softmax->output(0)) : -1;
    const bool multiplies = values >= 0 && graph_.nodes[values].op_type == "MatMul" &&
                            graph_.nodes[values].input(0) == softmax->output(0);
    int last = -1;
    if (multiplies) {
      const Node& weighted = graph_.nodes[values];
      attention.value = BeforeTranspose(weighted.input(1), values, {0, 2, 1, 3}, &absorbed);
      last = OnlyUser(weighted.output(0));
    }
    if (attention.value.empty() || !IsTranspose(last, {0, 2, 1, 3}) || !HasSameHeads(attention)) {
      absorbed_ = before;
      return;
    }
    absorbed.insert(absorbed.end(), {next, values, last});
    absorbed_.insert(absorbed.begin(), absorbed.end());
    fused.result = graph_.nodes[last].output(0);
    fused.attention = std::move(attention);
    attentions_[index] = {last, std::move(fused)};
  }

  // Nothing is repeated for several examples or heads.
  bool HasSameHeads(const FusedAttention& attention) const {
    const Shape& query = inferred_.values.at(attention.query).shape;
    for (const std::string* name : {&attention.key, &attention.value}) {
      const Shape& shape = inferred_.values.at(*name).shape;
      if (shape[0] != query[0] || shape[2] != query[2]) return false;
    }
    return true;
  }

  // Takes a product with a number into the factor of a MatMul.
  int ExtendByFactor(int index, FusedNode* fused) {
    std::string other;
    int next;
    const Node* node = Next(fused->result, "Mul", &other, &next);
    const bool division = node == nullptr;
    if (division) node = Next(fused->result, "Div", &other, &next);
    if (node == nullptr || (division && node->input(0) != fused->result)) return index;
    const std::optional<float> number = Number(other);
    if (!number.has_value()) return index;
    const float factor = division ? 1 / *number : *number;
    if (!std::isfinite(factor)) return index;
    absorbed_.insert(next);
    fused->factor = factor;
    fused->result = node->output(0);
    return next;
  }

  // Takes the sum with a vector of weights, one per column, into a product with one matrix.
  int ExtendByBias(int index, FusedNode* fused) {
    std::string other;
    int next;
    const Node* node = Next(fused->result, "Add", &other, &next);
    if (node == nullptr || graph_.FindInitializer(other) == nullptr) return index;
    const Shape& matrix = inferred_.values.at(graph_.nodes[index].input(1)).shape;
    if (matrix.rank() != 2 || inferred_.values.at(other).shape != Shape({matrix[1]})) return index;
    absorbed_.insert(next);
    fused->bias = other;
    fused->result = node->output(0);
    return next;
  }

  int ExtendMatMul(int index, FusedNode* fused) {
    const auto weight = transposed_.find(graph_.nodes[index].input(1));
    if (weight != transposed_.end()) fused->transposed_weight = weight->second;
    int last = ExtendByFactor(index, fused);
    if (const int next = ExtendByBias(index, fused); next != index) last = next;
    const Shape& matrix = inferred_.values.at(graph_.nodes[index].input(1)).shape;
    if (differentiates_ || matrix.rank() != 2) return last;
    // A gradient would need what the Gelu is of.
    if (const int gelu = ExtendByGelu(fused); gelu >= 0) return gelu;
    return ExtendByResidual(last, fused);
  }

  // Takes the Gelu of the result, and of nothing else, into the product.
  int ExtendByGelu(FusedNode* fused) {
    const auto users = users_.find(fused->result);
    if (kept_.count(fused->result) != 0 || users == users_.end()) return -1;
    const std::vector<int> all = users->second;
    for (const int user : all) {
      if (absorbed_.count(user) != 0) return -1;
    }
    if (all.size() == 1 && graph_.nodes[all[0]].op_type == "Gelu") {
      absorbed_.insert(all[0]);
      fused->gelu_of_product = true;
      fused->result = graph_.nodes[all[0]].output(0);
      return all[0];
    }
    if (all.size() != 2) return -1;
    // As exporters write it, it begins with one of its two uses of the value and has the other.
    for (const int user : all) {
      const std::set<int> before = absorbed_;
      FusedNode gelu;
      const int last = ExtendGelu(user, &gelu);
      if (last < 0) continue;
      absorbed_.insert(user);
      if (absorbed_.count(all[0]) != 0 && absorbed_.count(all[1]) != 0) {
        fused->gelu_of_product = true;
        fused->result = gelu.result;
        return last;
      }
      absorbed_ = before;
    }
    return -1;
  }

  // Takes the sum with an activation of the same shape into the product.
  int ExtendByResidual(int index, FusedNode* fused) {
    std::string other;
    int next;
    const Node* node = Next(fused->result, "Add", &other, &next);
    if (node == nullptr || other == fused->result || !SameShape(other, fused->result) ||
        makers_.count(other) == 0) {
      return index;
    }
    absorbed_.insert(next);
    fused->residual = other;
    fused->result = node->output(0);
    return next;
  }

  // Recognizes the steps in which exporters write a Gelu, from its Div on; -1 if it is none.
  int ExtendGelu(int index, FusedNode* fused) {
    const Node& first = graph_.nodes[index];
    const std::string& x = first.input(0);
    const auto is = [this](const std::string& name, float value) {
      const std::optional<float> number = Number(name);
      return number.has_value() && std::abs(*number - value) < 1e-6f;
    };
    const bool scaled = (first.op_type == "Div" && is(first.input(1), 1.41421356f)) ||
                        (first.op_type == "Mul" && is(first.input(1), 0.70710678f));
    if (!scaled || !SameShape(x, first.output(0))) return -1;
    std::string other;
    int erf, add, product, half;
    const Node* node = Next(first.output(0), "Erf", &other, &erf);
    if (node == nullptr) return -1;
    node = Next(node->output(0), "Add", &other, &add);
    if (node == nullptr || !is(other, 1)) return -1;
    node = Next(node->output(0), "Mul", &other, &product);
    if (node == nullptr || other != x) return -1;
    node = Next(node->output(0), "Mul", &other, &half);
    if (node == nullptr || !is(other, 0.5f)) return -1;
    absorbed_.insert({erf, add, product, half});
    fused->gelu = true;
    fused->result = node->output(0);
    return half;
  }

  // Takes following nodes into `fused`; returns the index of its last node.
  int Extend(int index, FusedNode* fused) {
    const std::string& op_type = graph_.nodes[index].op_type;
    if (const int gelu = ExtendGelu(index, fused); gelu >= 0) return gelu;
    const int last = op_type == "MatMul" ? ExtendMatMul(index, fused) : index;
    if (fused->gelu_of_product || !CanRectify(op_type)) return last;
    return ExtendByRelu(last, op_type, fused);
  }

  int ExtendByRelu(int index, const std::string& op_type, FusedNode* fused) {
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
  const bool differentiates_;
  std::map<std::string, std::vector<int>> users_;  // One entry per operand.
  std::set<int> absorbed_;
  std::map<std::string, int> makers_;
  std::map<std::string, std::string> transposed_;  // Weights by the result of their Transpose.
  std::map<int, std::pair<int, FusedNode>> attentions_;  // By the first node; with the last.
};

}  // namespace

std::vector<std::string> OperandsOf(const Graph& graph, const FusedNode& fused) {
  if (fused.attention.has_value()) {
    const FusedAttention& a = *fused.attention;
    std::vector<std::string> operands = {a.query, a.key, a.value};
    if (!a.mask.empty()) operands.push_back(a.mask);
    return operands;
  }
  std::vector<std::string> operands = graph.nodes[fused.index].inputs;
  if (!fused.transposed_weight.empty()) operands[1] = fused.transposed_weight;
  for (const std::string* added : {&fused.bias, &fused.residual}) {
    if (!added->empty()) operands.push_back(*added);
  }
  return operands;
}

std::vector<FusedNode> FuseNodes(const Graph& graph, const InferredGraph& inferred,
                                 const std::set<std::string>& kept, bool differentiates) {
  return Fuser(graph, inferred, kept, differentiates).Run();
}

}  // namespace topiary
