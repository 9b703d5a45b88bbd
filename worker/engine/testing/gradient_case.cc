#include "worker/engine/testing/gradient_case.h"

#include <utility>

#include "common/digest.h"
#include "common/random.h"

namespace topiary {
namespace {

// A number that differs from name to name, the same in every run.
uint64_t SeedOf(const std::string& name) {
  return std::stoull(Sha256Hex(name).substr(0, 15), nullptr, 16);
}

}  // namespace

Tensor RandomWeight(const std::string& name, const Shape& shape, float scale) {
  Tensor tensor(DType::kFloat32, shape);
  Random random(SeedOf(name), kStreamTest, 0);
  for (float& element : tensor.span<float>()) element = scale * random.Normal();
  return tensor;
}

GradientGraph& GradientGraph::Weight(const std::string& name, const Shape& shape, float scale) {
  return Constant(name, RandomWeight(name, shape, scale));
}

GradientGraph& GradientGraph::DistinctWeight(const std::string& name, const Shape& shape) {
  Tensor tensor(DType::kFloat32, shape);
  const auto count = static_cast<uint32_t>(tensor.element_count());
  const std::vector<uint32_t> order = Permutation(SeedOf(name), kStreamTest, 0, count);
  for (uint32_t i = 0; i < count; ++i) {
    tensor.data<float>()[i] =
        0.05f * (static_cast<float>(order[i]) - static_cast<float>(count) / 2 + 0.5f);
  }
  return Constant(name, std::move(tensor));
}

GradientGraph& GradientGraph::Constant(const std::string& name, Tensor value) {
  builder_.Weight(name, std::move(value));
  return *this;
}

GradientGraph& GradientGraph::Ints(const std::string& name, const std::vector<int64_t>& values) {
  builder_.Ints(name, values);
  return *this;
}

GradientGraph& GradientGraph::Statistics(const std::string& mean, const std::string& variance,
                                         int64_t channels) {
  Constant(mean, Tensor(DType::kFloat32, Shape({channels})));
  return Constant(variance,
                  Tensor::FromVector(Shape({channels}), std::vector<float>(channels, 1.0f)));
}

GradientGraph& GradientGraph::Node(const std::string& op_type,
                                   const std::vector<std::string>& inputs,
                                   const std::string& output,
                                   const std::vector<Attribute>& attributes) {
  builder_.Node(op_type, inputs, {output}, attributes);
  return *this;
}

GradientGraph& GradientGraph::Input(const std::string& name, const std::vector<int64_t>& dims,
                                    DType dtype) {
  builder_.Input(name, dims, dtype);
  return *this;
}

GradientGraph& GradientGraph::Output(const std::string& name) {
  builder_.Output(name);
  return *this;
}

GradientCase GradientGraph::Finish(const std::string& name, const std::string& value,
                                   const Shape& shape) {
  std::vector<int64_t> dims(shape.dims().begin(), shape.dims().end());
  const int64_t batch = dims[0];
  dims[0] = GraphBuilder::kBatch;
  Input("x", dims).Node("Add", {value, "x"}, "y").Output("y");
  return Finish(name, LossKind::kMeanSquaredError, batch);
}

GradientCase GradientGraph::Finish(const std::string& name, LossKind loss, int64_t batch) {
  return {name, builder_.Build(), loss, batch};
}

std::vector<GradientCase> AllGradientCases() {
  std::vector<GradientCase> cases;
  AddProductGradientCases(&cases);
  AddImageGradientCases(&cases);
  AddElementwiseGradientCases(&cases);
  AddShapeGradientCases(&cases);
  AddLossGradientCases(&cases);
  return cases;
}

}  // namespace topiary
