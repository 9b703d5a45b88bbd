#ifndef TOPIARY_WORKER_MODEL_TESTING_GRAPH_BUILDER_H_
#define TOPIARY_WORKER_MODEL_TESTING_GRAPH_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/model/graph.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Writes graphs for tests, one line per value:
//   Graph graph = GraphBuilder()
//                     .Input("x", {kBatch, 4})
//                     .Weight("w", {3, 4})
//                     .Node("Gemm", {"x", "w"}, {"y"}, {Int("transB", 1)})
//                     .Output("y")
//                     .Build();
// Nothing is checked.
class GraphBuilder {
 public:
  static constexpr int64_t kBatch = -1;  // The symbolic extent "batch".

  GraphBuilder& Input(const std::string& name, const std::vector<int64_t>& dims,
                      DType dtype = DType::kFloat32);
  // float32 with elements 0.01, 0.02, ...
  GraphBuilder& Weight(const std::string& name, const Shape& shape);
  GraphBuilder& Weight(const std::string& name, Tensor value);
  // int64 of rank 1.
  GraphBuilder& Ints(const std::string& name, const std::vector<int64_t>& values);
  GraphBuilder& Node(const std::string& op_type, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs,
                     const std::vector<Attribute>& attributes = {}, const std::string& name = "");
  // Of unknown shape.
  GraphBuilder& Output(const std::string& name, DType dtype = DType::kFloat32);
  GraphBuilder& Opset(int64_t opset);
  Graph Build() { return std::move(graph_); }

 private:
  Graph graph_;
};

// Attributes.
Attribute Int(const std::string& name, int64_t value);
Attribute Float(const std::string& name, float value);
Attribute String(const std::string& name, const std::string& value);
Attribute List(const std::string& name, const std::vector<int64_t>& values);
Attribute Constant(const std::string& name, Tensor value);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_TESTING_GRAPH_BUILDER_H_
