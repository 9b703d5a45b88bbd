// Training as PyTorch trains: gradients, running statistics and every optimizer, against what
// testing/pytorch/make_fixture.py recorded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/status_matchers.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/testing/program_fixture.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/onnx_import.h"
#include "worker/model/safetensors.h"

namespace topiary {
namespace {

constexpr char kFolder[] = "worker/engine/testing/pytorch/";

struct Case {
  std::string optimizer;
  float learning_rate;
  OptimizerOptions options;
  bool cpu;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.optimizer; }
};

OptimizerOptions Options(OptimizerKind kind, float momentum, bool nesterov, float decay) {
  OptimizerOptions options;
  options.kind = kind;
  options.momentum = momentum;
  options.nesterov = nesterov;
  options.weight_decay = decay;
  return options;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const bool cpu : {false, true}) {
    cases.push_back({"momentum", 0.05f, Options(OptimizerKind::kSgd, 0.9f, false, 0), cpu});
    cases.push_back({"nesterov", 0.05f, Options(OptimizerKind::kSgd, 0.9f, true, 1e-2f), cpu});
    cases.push_back({"adam", 1e-3f, Options(OptimizerKind::kAdam, 0, false, 1e-2f), cpu});
    cases.push_back({"adamw", 1e-3f, Options(OptimizerKind::kAdamW, 0, false, 1e-1f), cpu});
  }
  return cases;
}

void ExpectClose(const float* got, const Tensor& want, double tolerance, const std::string& what) {
  double largest = 0;
  for (float value : want.span<float>()) largest = std::max<double>(largest, std::abs(value));
  for (int64_t i = 0; i < want.element_count(); ++i) {
    ASSERT_NEAR(got[i], want.data<float>()[i], tolerance * largest) << what << "[" << i << "]";
  }
}

class PyTorchFixture : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const Graph graph,
                         ImportOnnx(std::string(kFolder) + "small_network.onnx"));
    ASSERT_OK_AND_ASSIGN(recorded_,
                         ReadSafetensors(std::string(kFolder) + "small_network.safetensors"));
    std::unique_ptr<Backend> backend;
    if (GetParam().cpu) {
      ASSERT_OK_AND_ASSIGN(backend, CpuBackend::Create({}));
    }
    ProgramOptions options;
    options.batch = 6;
    options.loss = LossKind::kSoftmaxCrossEntropy;
    ASSERT_OK_AND_ASSIGN(fixture_, BuildFixture(graph, options, std::move(backend)));
    const Program& program = *fixture_.program;
    std::copy_n(Recorded("inputs").data<float>(), Recorded("inputs").element_count(),
                static_cast<float*>(program.inputs()[0].data));
    std::copy_n(Recorded("labels").data<int32_t>(), 6,
                static_cast<int32_t*>(program.labels().data));
  }
  const Tensor& Recorded(const std::string& name) const {
    const Tensor* tensor = recorded_.Find(name);
    CHECK(tensor != nullptr) << name;
    return *tensor;
  }

  SafetensorsFile recorded_;
  ProgramFixture fixture_;
};

TEST_P(PyTorchFixture, TrainsToTheSameWeightsAndStatistics) {
  const std::string& name = GetParam().optimizer;
  ASSERT_OK_AND_ASSIGN(const auto optimizer,
                       Optimizer::Create(GetParam().options, fixture_.store.get()));
  const Tensor& losses = Recorded("losses/" + name);
  for (int step = 0; step < losses.element_count(); ++step) {
    fixture_.program->ForwardBackward();
    EXPECT_NEAR(fixture_.program->loss(), losses.data<float>()[step], 2e-4) << "step " << step;
    if (step == 0) {
      for (const Parameter& parameter : fixture_.store->parameters()) {
        if (!parameter.trainable) continue;
        ExpectClose(parameter.gradient, Recorded("gradients/" + parameter.name), 1e-4,
                    "gradient of " + parameter.name);
      }
    }
    optimizer->Step(GetParam().learning_rate);
  }
  for (const Parameter& parameter : fixture_.store->parameters()) {
    ExpectClose(parameter.value, Recorded(name + "/" + parameter.name), 2e-3, parameter.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, PyTorchFixture, testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<Case>& info) {
                           return info.param.optimizer + (info.param.cpu ? "Cpu" : "Reference");
                         });

}  // namespace
}  // namespace topiary
