#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

ValueInfo Value(const std::string& name, const std::vector<int64_t>& dims, DType dtype) {
  ValueInfo value;
  value.name = name;
  value.dtype = dtype;
  value.has_shape = true;
  for (int64_t d : dims) {
    Dimension dimension;
    if (d == GraphBuilder::kBatch) {
      dimension.symbol = "batch";
    } else {
      dimension.extent = d;
    }
    value.dims.push_back(dimension);
  }
  return value;
}

}  // namespace

GraphBuilder& GraphBuilder::Input(const std::string& name, const std::vector<int64_t>& dims,
                                  DType dtype) {
  graph_.inputs.push_back(Value(name, dims, dtype));
  return *this;
}

GraphBuilder& GraphBuilder::Weight(const std::string& name, const Shape& shape) {
  Tensor value(DType::kFloat32, shape);
  int next = 0;
  for (float& v : value.span<float>()) v = static_cast<float>(++next) / 100;
  return Weight(name, std::move(value));
}

GraphBuilder& GraphBuilder::Weight(const std::string& name, Tensor value) {
  graph_.initializers.push_back({name, std::move(value), ""});
  return *this;
}

GraphBuilder& GraphBuilder::Ints(const std::string& name, const std::vector<int64_t>& values) {
  return Weight(name, Tensor::FromVector(Shape({static_cast<int64_t>(values.size())}), values));
}

GraphBuilder& GraphBuilder::Node(const std::string& op_type, const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs,
                                 const std::vector<Attribute>& attributes,
                                 const std::string& name) {
  topiary::Node node;
  node.name = name;
  node.op_type = op_type;
  node.inputs = inputs;
  node.outputs = outputs;
  node.attributes = attributes;
  graph_.nodes.push_back(std::move(node));
  return *this;
}

GraphBuilder& GraphBuilder::Output(const std::string& name, DType dtype) {
  ValueInfo value;
  value.name = name;
  value.dtype = dtype;
  graph_.outputs.push_back(std::move(value));
  return *this;
}

GraphBuilder& GraphBuilder::Opset(int64_t opset) {
  graph_.opset = opset;
  return *this;
}

Attribute Int(const std::string& name, int64_t value) { return {name, value}; }
Attribute Float(const std::string& name, float value) { return {name, value}; }
Attribute String(const std::string& name, const std::string& value) { return {name, value}; }
Attribute List(const std::string& name, const std::vector<int64_t>& values) {
  return {name, values};
}
Attribute Constant(const std::string& name, Tensor value) {
  return {name, std::make_shared<const Tensor>(std::move(value))};
}

}  // namespace topiary
