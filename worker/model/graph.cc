#include "worker/model/graph.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace topiary {
namespace {

const std::string& NameAt(const std::vector<std::string>& names, size_t i) {
  static const std::string* const kLeftOut = new std::string();
  return i < names.size() ? names[i] : *kLeftOut;
}

absl::StatusOr<Shape> SettleShape(const ValueInfo& input, int64_t batch) {
  if (!input.has_shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input '", input.name, "' declares no shape; export the model with input shapes"));
  }
  Shape::Dims dims;
  for (size_t axis = 0; axis < input.dims.size(); ++axis) {
    const Dimension& d = input.dims[axis];
    if (axis == 0 && d.fixed() && d.extent != batch) {
      return absl::InvalidArgumentError(absl::StrCat(
          "input '", input.name, "' ", DimsToString(input), " fixes its batch axis to ", d.extent,
          ", but a batch of ", batch, " is needed; export the model with a dynamic first axis"));
    }
    if (axis > 0 && !d.fixed()) {
      return absl::InvalidArgumentError(
          absl::StrCat("input '", input.name, "' ", DimsToString(input), ": axis ", axis,
                       " has no fixed extent; only the first axis may be dynamic"));
    }
    dims.push_back(axis == 0 ? batch : d.extent);
  }
  return Shape(absl::MakeConstSpan(dims));
}

}  // namespace

const std::string& Node::input(size_t i) const { return NameAt(inputs, i); }
const std::string& Node::output(size_t i) const { return NameAt(outputs, i); }

const Attribute* Node::FindAttribute(absl::string_view name) const {
  for (const Attribute& attribute : attributes) {
    if (attribute.name == name) return &attribute;
  }
  return nullptr;
}

void InitializerList::push_back(Initializer initializer) {
  places_.try_emplace(initializer.name, initializers_.size());
  initializers_.push_back(std::move(initializer));
}

size_t InitializerList::Find(absl::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? initializers_.size() : found->second;
}

void InitializerList::Index() {
  places_.clear();
  for (size_t i = 0; i < initializers_.size(); ++i) places_.try_emplace(initializers_[i].name, i);
}

Graph Graph::Clone() const {
  Graph copy = CloneWithoutInitializers();
  copy.initializers.reserve(initializers.size());
  for (const Initializer& i : initializers) {
    copy.initializers.push_back({i.name, i.value.Clone(), i.doc});
  }
  return copy;
}

Graph Graph::CloneWithoutInitializers() const {
  Graph copy;
  copy.name = name;
  copy.doc = doc;
  copy.nodes = nodes;
  copy.inputs = inputs;
  copy.outputs = outputs;
  copy.value_infos = value_infos;
  copy.ir_version = ir_version;
  copy.opset = opset;
  copy.producer_name = producer_name;
  copy.producer_version = producer_version;
  copy.model_domain = model_domain;
  copy.model_version = model_version;
  copy.model_doc = model_doc;
  copy.metadata = metadata;
  return copy;
}

const Initializer* Graph::FindInitializer(absl::string_view name) const {
  const size_t place = initializers.Find(name);
  return place == initializers.size() ? nullptr : &initializers[place];
}

Initializer* Graph::FindInitializer(absl::string_view name) {
  return const_cast<Initializer*>(static_cast<const Graph*>(this)->FindInitializer(name));
}

absl::Status Graph::ReplaceInitializer(absl::string_view name, Tensor value) {
  Initializer* initializer = FindInitializer(name);
  if (initializer == nullptr) {
    return absl::NotFoundError(absl::StrCat("the graph has no initializer '", name, "'"));
  }
  const Tensor& old = initializer->value;
  if (old.dtype() != value.dtype() || old.shape() != value.shape()) {
    return absl::InvalidArgumentError(
        absl::StrCat("initializer '", name, "' is ", DTypeName(old.dtype()), old.shape().ToString(),
                     "; it cannot become ", DTypeName(value.dtype()), value.shape().ToString()));
  }
  initializer->value = std::move(value);
  return absl::OkStatus();
}

std::string NodeLabel(const Node& node, int index) {
  if (!node.name.empty()) return absl::StrCat(node.op_type, " node '", node.name, "'");
  return absl::StrCat(node.op_type, " node ", index, " (output '", node.output(0), "')");
}

std::string DimsToString(const ValueInfo& value) {
  if (!value.has_shape) return "[shape unknown]";
  return absl::StrCat("[",
                      absl::StrJoin(value.dims, ",",
                                    [](std::string* out, const Dimension& d) {
                                      absl::StrAppend(out, d.fixed() ? absl::StrCat(d.extent)
                                                           : d.symbol.empty() ? "?"
                                                                              : d.symbol);
                                    }),
                      "]");
}

absl::StatusOr<std::map<std::string, Shape>> InputShapesForBatch(const Graph& graph,
                                                                 int64_t batch) {
  std::map<std::string, Shape> shapes;
  for (const ValueInfo& input : graph.inputs) {
    absl::StatusOr<Shape> shape = SettleShape(input, batch);
    if (!shape.ok()) return shape.status();
    shapes[input.name] = *std::move(shape);
  }
  return shapes;
}

}  // namespace topiary
