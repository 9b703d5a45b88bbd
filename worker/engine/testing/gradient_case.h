// Graphs whose gradients are checked against finite differences. Tests only.
#ifndef TOPIARY_WORKER_ENGINE_TESTING_GRADIENT_CASE_H_
#define TOPIARY_WORKER_ENGINE_TESTING_GRADIENT_CASE_H_

#include <string>
#include <vector>

#include "worker/engine/program.h"
#include "worker/model/graph.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {

struct GradientCase {
  std::string name;  // Letters and digits.
  Graph graph;
  LossKind loss = LossKind::kMeanSquaredError;
  int64_t batch = 2;
  std::vector<TeacherLoss> teacher_losses = {};
};

// A weight of normally distributed elements, different for each name.
Tensor RandomWeight(const std::string& name, const Shape& shape, float scale = 1);

// Builds graphs around the operators under test. Operands are weights, so that the gradient of
// each is checked; Finish() adds an input, which gives the graph its batch.
class GradientGraph {
 public:
  GradientGraph& Weight(const std::string& name, const Shape& shape, float scale = 1);
  // Values that a finite difference cannot carry over a kink: pairwise at least 0.05 apart, none
  // near 0.
  GradientGraph& DistinctWeight(const std::string& name, const Shape& shape);
  GradientGraph& Constant(const std::string& name, Tensor value);
  GradientGraph& Ints(const std::string& name, const std::vector<int64_t>& values);
  // In place of the running statistics of a BatchNormalization.
  GradientGraph& Statistics(const std::string& mean, const std::string& variance, int64_t channels);
  GradientGraph& Node(const std::string& op_type, const std::vector<std::string>& inputs,
                      const std::string& output, const std::vector<Attribute>& attributes = {});
  GradientGraph& Input(const std::string& name, const std::vector<int64_t>& dims,
                       DType dtype = DType::kFloat32);
  GradientGraph& Output(const std::string& name);

  // y = value + x, where x is an input of `shape`, the shape of value; the batch is its first
  // extent.
  GradientCase Finish(const std::string& name, const std::string& value, const Shape& shape);
  // The graph as it is.
  GradientCase Finish(const std::string& name, LossKind loss, int64_t batch);

 private:
  GraphBuilder builder_;
};

void AddProductGradientCases(std::vector<GradientCase>* cases);
void AddImageGradientCases(std::vector<GradientCase>* cases);
void AddElementwiseGradientCases(std::vector<GradientCase>* cases);
void AddShapeGradientCases(std::vector<GradientCase>* cases);
void AddLossGradientCases(std::vector<GradientCase>* cases);

std::vector<GradientCase> AllGradientCases();

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_TESTING_GRADIENT_CASE_H_
