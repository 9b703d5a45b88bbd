// The logits of candidates through a real program: their gradients from inner products against
// differences of the loss.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/status_matchers.h"
#include "worker/engine/testing/program_fixture.h"
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

// A layer of a Transformer 6 wide, of 2 heads and 5 feed-forward units, normalized before each
// branch.
std::string TransformerLayer(GraphBuilder* b, const std::string& name, const std::string& src) {
  const auto normalized = [&](const std::string& norm, const std::string& value) {
    return b->Add("LayerNormalization", {value, b->Constant(norm + ".weight", Shape({6}), 1),
                                         b->Constant(norm + ".bias", Shape({6}), 0)});
  };
  const auto product = [&](const std::string& weight, const std::string& value, int64_t in,
                           int64_t out) {
    return b->Add("MatMul", {value, b->Weight(name + weight, Shape({in, out}), 0.5F)});
  };
  const auto heads = [&](const std::string& value, std::vector<int64_t> order) {
    const std::string split = b->Add("Reshape", {value, "heads"});
    return b->Add("Transpose", {split}, {{"perm", std::move(order)}});
  };
  const std::string x = normalized(name + ".norm1", src);
  const std::string q = heads(product(".q", x, 6, 6), {0, 2, 1, 3});
  const std::string k = heads(product(".k", x, 6, 6), {0, 2, 3, 1});
  const std::string v = heads(product(".v", x, 6, 6), {0, 2, 1, 3});
  const std::string weights =
      b->Add("Softmax", {b->Add("MatMul", {q, k})}, {{"axis", int64_t{-1}}});
  const std::string read = b->Add("Transpose", {b->Add("MatMul", {weights, v})},
                                  {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  const std::string joined = b->Add("Reshape", {read, "width"});
  const std::string sum = b->Add("Add", {src, product(".o", joined, 6, 6)});
  const std::string up = product(".up", normalized(name + ".norm2", sum), 6, 5);
  return b->Add("Add", {sum, product(".down", b->Add("Tanh", {up}), 5, 6)});
}

// Classes at each of 4 places, after three layers.
Graph SmoothTransformer() {
  GraphBuilder b({4, 6});
  b.Integers("heads", {0, 4, 2, 3});
  b.Integers("width", {0, 4, 6});
  std::string x = "x";
  for (const std::string layer : {"1", "2", "3"}) x = TransformerLayer(&b, layer, x);
  return b.Finish(b.Add("MatMul", {x, b.Weight("head", Shape({6, 3}), 0.5F)}));
}

// Three fields of ids, two of them in one table, beside 2 numbers.
Graph SmoothClickModel() {
  GraphBuilder b({2});
  const std::string pages = b.Weight("pages", Shape({4, 3}), 1);
  const std::string towns = b.Weight("towns", Shape({3, 2}), 1);
  const std::string from = b.Add("Gather", {pages, b.Ids("from")});
  const std::string to = b.Add("Gather", {pages, b.Ids("to")});
  const std::string town = b.Add("Gather", {towns, b.Ids("town")});
  const std::string all = b.Add("Concat", {"x", from, to, town}, {{"axis", int64_t{1}}});
  const std::string hidden = b.Add("Tanh", {b.Linear("hidden", all, 10, 6)});
  return b.Finish(b.Linear("head", hidden, 6, 3));
}

Graph NetworkWith(Structure structure) {
  switch (structure) {
    case Structure::kChannels:
    case Structure::kNeurons:
    case Structure::kBranches:
      return SmoothNetwork();
    case Structure::kHeads:
    case Structure::kTransformerLayers:
      return SmoothTransformer();
    case Structure::kEmbeddingDimensions:
    case Structure::kEmbeddingRows:
    case Structure::kEmbeddingTables:
      return SmoothClickModel();
  }
  return {};
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
    FillWithRandomData(*program_, program.loss, 5);
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

  const Graph graph_ = NetworkWith(GetParam());
  ReferenceBackend backend_;
  std::unique_ptr<Method> method_;
  ScaledWeights scaled_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<BlockScaling> scaling_;
};

TEST_P(CandidateGradients, MatchFiniteDifferences) {
  const std::vector<TrainableState> groups = method_->trainable_state();
  ASSERT_FALSE(groups.empty());
  Random random(1, kStreamTest, 0);
  for (const TrainableState& logits : groups) {
    for (int64_t i = 0; i < logits.size; ++i) logits.value[i] = random.Normal();
  }
  StoreLayerTensors tensors(store_.get(), method_->layers());
  for (const int64_t step : {int64_t{0}, kSteps / 2}) {  // All live, and half of them.
    method_->BeginStep(step, tensors);
    for (const TrainableState& logits : groups) {
      Loss();
      MakeGradients();
      const std::vector<float> analytic(logits.gradient, logits.gradient + logits.size);
      float largest = 0;
      for (int64_t i = 0; i < logits.size; ++i) {
        largest = std::max(largest, std::fabs(analytic[i]));
        const double numeric = CentralDifference(&logits.value[i], [&] { return Loss(); });
        EXPECT_NEAR(analytic[i], numeric, 2e-4)
            << "step " << step << " logit " << i << " of " << logits.name;
      }
      EXPECT_GT(largest, 2e-3F) << "a test that cannot fail";
    }
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
                                         Structure::kHeads, Structure::kBranches,
                                         Structure::kTransformerLayers,
                                         Structure::kEmbeddingDimensions, Structure::kEmbeddingRows,
                                         Structure::kEmbeddingTables),
                         [](const auto& info) { return std::string(StructureName(info.param)); });

}  // namespace
}  // namespace topiary
