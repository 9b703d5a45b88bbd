// The intermediate representation of a model: plain structs that keep what an
// ONNX file says, with its names and its order, so that the graph a user
// downloads is the graph the user uploaded.
//
// A graph made by ImportOnnx() is well formed: nodes are in topological order,
// every value is produced once (by a node, an initializer or an input) before
// it is used, and names are not empty. Code that edits a graph keeps it so.
#ifndef TOPIARY_WORKER_MODEL_GRAPH_H_
#define TOPIARY_WORKER_MODEL_GRAPH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// A named constant of a node. Tensors are shared between copies of a node and
// never changed.
struct Attribute {
  using Value = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                             std::vector<std::string>, std::shared_ptr<const Tensor>>;
  std::string name;
  Value value;
};

struct Node {
  std::string name;                  // May be empty, as in ONNX.
  std::string op_type;               // "Conv".
  std::string domain;                // Empty: ONNX's own operators, the only ones supported.
  std::vector<std::string> inputs;   // Value names; empty for an optional input left out.
  std::vector<std::string> outputs;  // Value names; empty for an optional output left out.
  std::vector<Attribute> attributes;
  std::string doc;

  // Name of input or output `i`; empty if it is left out.
  const std::string& input(size_t i) const;
  const std::string& output(size_t i) const;
  // Null if there is no attribute of this name.
  const Attribute* FindAttribute(absl::string_view name) const;
};

// One axis of a declared value: a fixed extent, or a symbol (such as "batch")
// that stands for any.
struct Dimension {
  int64_t extent = -1;  // -1: symbolic.
  std::string symbol;   // May be empty for an unnamed unknown extent.
  bool fixed() const { return extent >= 0; }
};

struct ValueInfo {
  std::string name;
  DType dtype = DType::kFloat32;
  bool has_shape = false;  // False: ONNX's "rank unknown"; `dims` is then empty.
  std::vector<Dimension> dims;
  std::string doc;
};

// A named weight.
struct Initializer {
  std::string name;  // Not changed once it is in a list.
  Tensor value;
  std::string doc;
};

// Weights in the order of the file, found by name. Adding or removing one ends the validity of
// iterators and pointers. Movable. Thread-compatible.
class InitializerList {
 public:
  std::vector<Initializer>::iterator begin() { return initializers_.begin(); }
  std::vector<Initializer>::iterator end() { return initializers_.end(); }
  std::vector<Initializer>::const_iterator begin() const { return initializers_.begin(); }
  std::vector<Initializer>::const_iterator end() const { return initializers_.end(); }
  size_t size() const { return initializers_.size(); }
  bool empty() const { return initializers_.empty(); }
  Initializer& operator[](size_t i) { return initializers_[i]; }
  const Initializer& operator[](size_t i) const { return initializers_[i]; }
  const Initializer& back() const { return initializers_.back(); }

  void reserve(size_t size) { initializers_.reserve(size); }
  void push_back(Initializer initializer);

  // Removes those of which `is_gone(initializer)` holds.
  template <typename Predicate>
  void RemoveIf(Predicate is_gone) {
    initializers_.erase(std::remove_if(initializers_.begin(), initializers_.end(), is_gone),
                        initializers_.end());
    Index();
  }

  // The place of the first of this name; size() if there is none.
  size_t Find(absl::string_view name) const;

 private:
  void Index();

  std::vector<Initializer> initializers_;
  std::map<std::string, size_t, std::less<>> places_;  // Of the first of a name.
};

// Movable; copied only by Clone(), because the weights may be large.
// Thread-compatible.
struct Graph {
  std::string name;
  std::string doc;
  std::vector<Node> nodes;  // In topological order.
  InitializerList initializers;
  std::vector<ValueInfo> inputs;  // Without those that an initializer provides.
  std::vector<ValueInfo> outputs;
  std::vector<ValueInfo> value_infos;
  int64_t ir_version = 8;
  int64_t opset = 17;
  std::string producer_name;
  std::string producer_version;
  std::string model_domain;
  int64_t model_version = 0;
  std::string model_doc;
  std::vector<std::pair<std::string, std::string>> metadata;  // metadata_props of the model.

  Graph Clone() const;
  // Everything but the initializers.
  Graph CloneWithoutInitializers() const;

  // Null if there is none of this name. Logarithmic time.
  Initializer* FindInitializer(absl::string_view name);
  const Initializer* FindInitializer(absl::string_view name) const;

  // Replaces the value of initializer `name`. NOT_FOUND if there is none;
  // INVALID_ARGUMENT if dtype or shape differ from the old value's.
  absl::Status ReplaceInitializer(absl::string_view name, Tensor value);
};

// "Conv node 'conv1'", or "Conv node 3 (output 'y')" where it has no name: how
// every error of worker/ names a node. `index` is its place in Graph::nodes.
std::string NodeLabel(const Node& node, int index);

// "[batch,3,32,32]", for messages.
std::string DimsToString(const ValueInfo& value);

// The shape of every graph input with its symbolic extents settled: a symbolic
// first extent becomes `batch`. INVALID_ARGUMENT, naming input and axis, where a
// first extent is fixed to another value than `batch`, where another extent is
// symbolic, or where an input has no shape.
absl::StatusOr<std::map<std::string, Shape>> InputShapesForBatch(const Graph& graph, int64_t batch);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_GRAPH_H_
