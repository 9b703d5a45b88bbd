// Training as PyTorch trains: outputs, gradients, running statistics and every optimizer, against
// what testing/pytorch/make_fixture.py recorded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
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
  std::string network;
  std::string optimizer;
  float learning_rate;
  OptimizerOptions options;
  bool cpu;
  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << c.network << " " << c.optimizer;
  }
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
  const OptimizerOptions momentum = Options(OptimizerKind::kSgd, 0.9f, false, 0);
  const OptimizerOptions nesterov = Options(OptimizerKind::kSgd, 0.9f, true, 1e-2f);
  const OptimizerOptions adam = Options(OptimizerKind::kAdam, 0, false, 1e-2f);
  const OptimizerOptions adamw = Options(OptimizerKind::kAdamW, 0, false, 1e-1f);
  std::vector<Case> cases;
  for (const bool cpu : {false, true}) {
    cases.push_back({"small_network", "nesterov", 0.05f, nesterov, cpu});
    cases.push_back({"small_network", "adam", 1e-3f, adam, cpu});
    for (const char* network : {"small_network", "small_decoder", "small_click_model"}) {
      cases.push_back({network, "momentum", 0.05f, momentum, cpu});
      cases.push_back({network, "adamw", 1e-3f, adamw, cpu});
    }
  }
  return cases;
}

void ExpectClose(const float* got, const Tensor& want, double tolerance, const std::string& what) {
  double largest = 0;
  for (float value : want.span<float>()) largest = std::max<double>(largest, std::abs(value));
  for (int64_t i = 0; i < want.element_count(); ++i) {
    // Attention's gradient of the bias of its keys is 0 but for rounding.
    ASSERT_NEAR(got[i], want.data<float>()[i], tolerance * largest + 1e-8)
        << what << "[" << i << "]";
  }
}

class PyTorchFixture : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string path = kFolder + GetParam().network;
    ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(path + ".onnx"));
    ASSERT_OK_AND_ASSIGN(recorded_, ReadSafetensors(path + ".safetensors"));
    std::unique_ptr<Backend> backend;
    if (GetParam().cpu) {
      ASSERT_OK_AND_ASSIGN(backend, CpuBackend::Create({}));
    }
    const Tensor& labels = Recorded("labels");
    ProgramOptions options;
    options.batch = labels.shape()[0];
    options.loss = labels.dtype() == DType::kFloat32 ? LossKind::kBinaryCrossEntropy
                                                     : LossKind::kSoftmaxCrossEntropy;
    ASSERT_OK_AND_ASSIGN(fixture_, BuildFixture(graph, options, std::move(backend)));
    const Program& program = *fixture_.program;
    for (const StagedTensor& input : program.inputs()) Feed("inputs/" + input.name, input);
    Feed("labels", program.labels());
  }
  void Feed(const std::string& name, const StagedTensor& to) const {
    const Tensor& from = Recorded(name);
    ASSERT_EQ(from.byte_size(), to.bytes()) << name;
    std::memcpy(to.data, from.raw_data(), to.bytes());
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
      ExpectClose(static_cast<const float*>(fixture_.program->output(0).data), Recorded("output"),
                  1e-4, "output");
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
                           return info.param.network + "_" + info.param.optimizer +
                                  (info.param.cpu ? "_cpu" : "_reference");
                         });

}  // namespace
}  // namespace topiary
