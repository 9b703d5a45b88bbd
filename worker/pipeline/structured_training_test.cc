// The logits of candidates through a real program: their gradients from inner products against
// differences of the loss.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/status_matchers.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/training_loop.h"
#include "worker/prune/group_choice.h"
#include "worker/prune/scaled_weights.h"
#include "worker/prune/sequential_attention_pp.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = 12;
constexpr int64_t kSteps = 8;

// A residual sum of channels, and a hidden layer after it.
Graph SmoothNetwork() {
  const std::vector<Attribute> same = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  GraphBuilder b({1, 5, 5});
  const std::string first =
      b.Add("Tanh", {b.Add("Conv", {"x", b.Weight("c1", Shape({4, 1, 3, 3}), 0.5F)}, same)});
  const std::string second =
      b.Add("Conv", {first, b.Weight("c2", Shape({4, 4, 3, 3}), 0.3F)}, same);
  const std::string sum = b.Add("Add", {first, second});
  const std::string third = b.Add("Conv",
                                  {b.Add("Tanh", {sum}), b.Weight("c3", Shape({4, 4, 3, 3}), 0.3F),
                                   b.Weight("c3.b", Shape({4}), 0.3F)},
                                  same);
  const std::string image = b.Add("Tanh", {b.Add("Add", {sum, third})});
  const std::string rows = b.Add("Flatten", {b.Add("GlobalAveragePool", {image})});
  const std::string hidden = b.Add("Tanh", {b.Linear("fc", rows, 4, 6)});
  return b.Finish(b.Linear("head", hidden, 6, 3));
}

class CandidateGradients : public testing::TestWithParam<Structure> {
 protected:
  void SetUp() override {
    PruningTarget target;
    target.sparsity = 0.5;
    target.structure = GetParam();
    target.protect_first = target.protect_last = 0;
    std::set<std::string> trainable;
    for (const Initializer& initializer : graph_.initializers) trainable.insert(initializer.name);
    const auto choices = ChooseGroups(graph_, trainable, target);
    ASSERT_OK(choices.status());
    std::vector<MethodLayer> layers;
    for (const GroupChoice& choice : *choices) {
      if (!choice.dense_reason.empty()) continue;
      layers.push_back({choice.group->name(), nullptr, std::nullopt, choice.group});
    }
    SequentialAttentionPlusPlusOptions options;
    options.phases = {{PhaseKind::kDense, 0.5}, {PhaseKind::kSparse, 0.5}};
    method_ = NewSequentialAttentionPlusPlus(options, target, layers, kSteps).value();
    scaled_ = ScaledWeights::Create(method_->layers()).value();
    store_ = ParameterStore::Create(graph_, &backend_).value();
    for (const ScaledWeight& weight : scaled_.weights()) {
      ASSERT_OK(store_->Reparameterize(weight.name, weight.runs));
    }
    ProgramOptions program;
    program.batch = kBatch;
    program.loss = LossKind::kSoftmaxCrossEntropy;
    program_ = Program::Build(graph_, store_.get(), &backend_, program).value();
    scaling_ = BlockScaling::Create(store_.get()).value();
    Random random(5, kStreamTest, 0);
    auto* inputs = static_cast<float*>(program_->inputs()[0].data);
    for (int64_t i = 0; i < kBatch * 25; ++i) inputs[i] = random.Normal();
    auto* labels = static_cast<int32_t*>(program_->labels().data);
    for (int64_t i = 0; i < kBatch; ++i) labels[i] = static_cast<int32_t>(i % 3);
  }

  double Loss() {
    method_->RefreshScales();
    for (size_t i = 0; i < scaled_.weights().size(); ++i) {
      const Parameter& parameter = *store_->Find(scaled_.weights()[i].name);
      const auto blocks = static_cast<size_t>(parameter.runs->block_count);
      scaled_.CopyScales(*method_, static_cast<int>(i), {parameter.block_scale, blocks});
    }
    scaling_->ApplyScales();
    program_->ForwardBackward();
    return double{program_->loss()};
  }

  void MakeGradients() {
    scaling_->ComputeInnerProducts();
    std::vector<absl::Span<const float>> products;
    for (const ScaledWeight& weight : scaled_.weights()) {
      const Parameter& parameter = *store_->Find(weight.name);
      products.emplace_back(parameter.block_inner_product, parameter.runs->block_count);
    }
    method_->EndStep(scaled_.InnerProducts(products));
  }

  const Graph graph_ = SmoothNetwork();
  ReferenceBackend backend_;
  std::unique_ptr<Method> method_;
  ScaledWeights scaled_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<BlockScaling> scaling_;
};

TEST_P(CandidateGradients, MatchFiniteDifferences) {
  std::vector<TrainableState> states = method_->trainable_state();
  ASSERT_EQ(states.size(), 1u);
  TrainableState& state = states[0];
  Random random(1, kStreamTest, 0);
  for (int64_t i = 0; i < state.size; ++i) state.value[i] = random.Normal();
  StoreLayerTensors tensors(store_.get(), method_->layers());
  for (const int64_t step : {int64_t{0}, kSteps / 2}) {  // All live, and half of them.
    method_->BeginStep(step, tensors);
    Loss();
    MakeGradients();
    const std::vector<float> analytic(state.gradient, state.gradient + state.size);
    float largest = 0;
    for (int64_t i = 0; i < state.size; ++i) {
      largest = std::max(largest, std::fabs(analytic[i]));
      const float kept = state.value[i];
      state.value[i] = kept + 1.0F / 128;
      const double up = Loss();
      state.value[i] = kept - 1.0F / 128;
      const double down = Loss();
      state.value[i] = kept;
      EXPECT_NEAR(analytic[i], (up - down) * 64, 2e-4) << "step " << step << " logit " << i;
    }
    EXPECT_GT(largest, 2e-3F) << "a test that cannot fail";
  }
}

// With equal logits all scales are 1 exactly: the network is the dense one.
TEST_P(CandidateGradients, EqualLogitsChangeNothing) {
  StoreLayerTensors tensors(store_.get(), method_->layers());
  method_->BeginStep(0, tensors);
  Loss();
  for (const ScaledWeight& weight : scaled_.weights()) {
    const Parameter& parameter = *store_->Find(weight.name);
    EXPECT_TRUE(std::equal(parameter.value, parameter.value + parameter.size, parameter.effective));
  }
}

INSTANTIATE_TEST_SUITE_P(Structures, CandidateGradients,
                         testing::Values(Structure::kChannels, Structure::kNeurons,
                                         Structure::kBranches),
                         [](const auto& info) { return std::string(StructureName(info.param)); });

}  // namespace
}  // namespace topiary
