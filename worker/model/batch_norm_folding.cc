#include "worker/model/batch_norm_folding.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Edits one graph. Used once.
class Folder {
 public:
  explicit Folder(Graph graph) : graph_(std::move(graph)) {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (const std::string& input : graph_.nodes[i].inputs) ++uses_[input];
      for (const std::string& output : graph_.nodes[i].outputs) makers_[output] = i;
    }
    for (const ValueInfo& output : graph_.outputs) ++uses_[output.name];
    for (size_t i = 0; i < graph_.initializers.size(); ++i) {
      weights_[graph_.initializers[i].name] = i;
    }
  }

  Graph Fold() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (FoldInto(graph_.nodes[i])) folded_.insert(i);
    }
    std::vector<Node> kept;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (folded_.count(i) == 0) kept.push_back(std::move(graph_.nodes[i]));
    }
    graph_.nodes = std::move(kept);
    const auto is_gone = [this](const auto& named) { return gone_.count(named.name) > 0; };
    graph_.initializers.RemoveIf(is_gone);
    auto& infos = graph_.value_infos;
    infos.erase(std::remove_if(infos.begin(), infos.end(), is_gone), infos.end());
    return std::move(graph_);
  }

 private:
  // The float32 initializer `name` of `size` elements along its first axis; null if there is none.
  Tensor* Weight(const std::string& name, int64_t size) {
    const auto found = weights_.find(name);
    if (found == weights_.end()) return nullptr;
    Tensor& value = graph_.initializers[found->second].value;
    const bool fits =
        value.dtype() == DType::kFloat32 && value.shape().rank() > 0 && value.shape()[0] == size;
    return fits ? &value : nullptr;
  }

  bool OnlyUse(const std::string& name) const {
    const auto uses = uses_.find(name);
    return uses != uses_.end() && uses->second == 1;
  }

  // The convolution whose result only `norm` reads; null if there is none.
  Node* ConvolutionBefore(const Node& norm) {
    const auto maker = makers_.find(norm.input(0));
    if (maker == makers_.end() || !OnlyUse(norm.input(0))) return nullptr;
    Node& conv = graph_.nodes[maker->second];
    return conv.op_type == "Conv" && conv.domain.empty() ? &conv : nullptr;
  }

  bool FoldInto(const Node& norm) {
    if (norm.op_type != "BatchNormalization" || !norm.domain.empty()) return false;
    const auto params = ReadBatchNorm(norm);
    const bool complete =
        norm.inputs.size() == 5 && norm.outputs.size() == 1 &&
        std::find(norm.inputs.begin(), norm.inputs.end(), "") == norm.inputs.end();
    if (!params.ok() || params->training || !complete) return false;
    Node* conv = ConvolutionBefore(norm);
    if (conv == nullptr || conv->inputs.size() < 2 || conv->outputs.size() != 1) return false;
    const auto weight_index = weights_.find(conv->input(1));
    if (weight_index == weights_.end() || !OnlyUse(conv->input(1))) return false;
    const Shape& shape = graph_.initializers[weight_index->second].value.shape();
    const int64_t channels = shape.rank() > 0 ? shape[0] : 0;
    if (channels < 1) return false;
    Tensor* weight = Weight(conv->input(1), channels);
    const Tensor* of_norm[4];
    for (int i = 0; i < 4; ++i) {
      of_norm[i] = Weight(norm.input(i + 1), channels);
      if (of_norm[i] == nullptr || of_norm[i]->shape().rank() != 1) return false;
    }
    const bool has_bias = !conv->input(2).empty();
    const Tensor* old_bias = has_bias ? Weight(conv->input(2), channels) : nullptr;
    if (weight == nullptr || (has_bias && old_bias == nullptr)) return false;

    Tensor bias(DType::kFloat32, Shape({channels}));
    const int64_t elements = weight->element_count() / channels;
    for (int64_t m = 0; m < channels; ++m) {
      const auto at = [&](int i) { return double{of_norm[i]->data<float>()[m]}; };
      const double factor = at(0) / std::sqrt(at(3) + double{params->epsilon});
      const double before = has_bias ? double{old_bias->data<float>()[m]} : 0.0;
      bias.data<float>()[m] = static_cast<float>(factor * (before - at(2)) + at(1));
      float* of_channel = weight->data<float>() + m * elements;
      for (int64_t i = 0; i < elements; ++i) {
        of_channel[i] = static_cast<float>(factor * double{of_channel[i]});
      }
    }
    Replace(norm, conv, std::move(bias));
    return true;
  }

  void Replace(const Node& norm, Node* conv, Tensor bias) {
    for (int i = 0; i < 5; ++i) DropUse(norm.input(i));
    if (!conv->input(2).empty()) DropUse(conv->input(2));
    std::string name = absl::StrCat(norm.output(0), "_folded_bias");
    while (weights_.count(name) > 0 || uses_.count(name) > 0 || makers_.count(name) > 0) {
      name += '_';
    }
    weights_[name] = graph_.initializers.size();
    uses_[name] = 1;
    graph_.initializers.push_back({name, std::move(bias), ""});
    conv->inputs.resize(3);
    conv->inputs[2] = name;
    conv->outputs[0] = norm.output(0);
    makers_[norm.output(0)] = makers_.at(norm.input(0));
  }

  void DropUse(const std::string& name) {
    if (--uses_[name] == 0) gone_.insert(name);
  }

  Graph graph_;
  std::map<std::string, int> uses_;
  std::map<std::string, size_t> makers_;   // Nodes, by what they make.
  std::map<std::string, size_t> weights_;  // Initializers, by name.
  std::set<size_t> folded_;
  std::set<std::string> gone_;  // Values that nothing reads any more.
};

}  // namespace

Graph FoldBatchNormalization(Graph graph) { return Folder(std::move(graph)).Fold(); }

}  // namespace topiary
