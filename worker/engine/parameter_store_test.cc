#include "worker/engine/parameter_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/block_scaling.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/program_fixture.h"

namespace topiary {
namespace {

using testing::HasSubstr;

GradientCase Model() {
  return GradientGraph()
      .Input("x", {GraphBuilder::kBatch, 3})
      .Weight("w", {2, 3})
      .Weight("c", {2})
      .Weight("s", {2})
      .Weight("b", {2})
      .Statistics("m", "v", 2)
      .Constant("two", Tensor::Scalar(2.0f))
      .Node("Gemm", {"x", "w", "c"}, "g", {Int("transB", 1)})
      .Node("BatchNormalization", {"g", "s", "b", "m", "v"}, "n")
      .Node("Mul", {"n", "two"}, "y")
      .Output("y")
      .Finish("", LossKind::kMeanSquaredError, 4);
}

std::shared_ptr<BlockRuns> Halves() {
  auto runs = std::make_shared<BlockRuns>();
  runs->runs = {{0, 3, 1, 0}, {3, 3, 1, 1}};
  runs->block_count = 2;
  return runs;
}

class ParameterStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(store_, ParameterStore::Create(model_.graph, &backend_));
  }
  ReferenceBackend backend_;
  GradientCase model_ = Model();
  std::unique_ptr<ParameterStore> store_;
};

// What only a product reads goes; programs are built without it, and it can be brought back.
TEST_F(ParameterStoreTest, WeightsThatItHasNeedNotBeInTheGraph) {
  Graph graph = model_.graph.Clone();
  ASSERT_OK(store_->DropWeightsOf(&graph));
  for (const Initializer& initializer : graph.initializers) {
    const bool dropped = initializer.name == "w" || initializer.name == "c";
    EXPECT_EQ(initializer.value.has_elements(), !dropped) << initializer.name;
  }
  ProgramOptions options;
  options.batch = 4;
  options.loss = LossKind::kMeanSquaredError;
  EXPECT_OK(Program::Build(graph, store_.get(), &backend_, options).status());
  ASSERT_OK(store_->WriteTo(&graph));
  for (size_t i = 0; i < graph.initializers.size(); ++i) {
    EXPECT_TRUE(BitwiseEqual(graph.initializers[i].value, model_.graph.initializers[i].value));
  }
}

// A node that need not run on each batch may read its operands whenever shapes are inferred.
TEST(ParameterStore, AWeightThatIsReadOtherwiseStaysInTheGraph) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 3})
                                 .Weight("w", {3, 3})
                                 .Node("MatMul", {"x", "w"}, "z")
                                 .Node("Shape", {"w"}, "shape")
                                 .Node("Reshape", {"w", "shape"}, "same")
                                 .Node("MatMul", {"z", "same"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kMeanSquaredError, 4);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create(model.graph, &backend));
  Graph graph = model.graph.Clone();
  ASSERT_OK(store->DropWeightsOf(&graph));
  EXPECT_TRUE(graph.FindInitializer("w")->value.has_elements());
}

// As PyTorch writes linear layers of sequences.
TEST(ParameterStore, AWeightBehindATransposeNeedNotBeInTheGraph) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 3})
                                 .Weight("w", {2, 3})
                                 .Node("Transpose", {"w"}, "t", {List("perm", {1, 0})})
                                 .Node("MatMul", {"x", "t"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kMeanSquaredError, 4);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create(model.graph, &backend));
  Graph graph = model.graph.Clone();
  ASSERT_OK(store->DropWeightsOf(&graph));
  EXPECT_FALSE(graph.FindInitializer("w")->value.has_elements());
  ProgramOptions options;
  options.batch = 4;
  options.loss = LossKind::kMeanSquaredError;
  EXPECT_OK(Program::Build(graph, store.get(), &backend, options).status());
}

TEST_F(ParameterStoreTest, WeightsThatWereDroppedCannotBeLoaded) {
  Graph graph = model_.graph.Clone();
  ASSERT_OK(store_->DropWeightsOf(&graph));
  EXPECT_THAT(store_->LoadFrom(graph),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'w'")));
}

TEST_F(ParameterStoreTest, HoldsWeightsFirstThenStatisticsAndNoLiterals) {
  std::vector<std::string> names;
  for (const Parameter& parameter : store_->parameters()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"w", "c", "s", "b", "m", "v"}));
  EXPECT_TRUE(store_->Find("b")->trainable);
  EXPECT_FALSE(store_->Find("v")->trainable);
  EXPECT_EQ(store_->Find("v")->gradient, nullptr);
  EXPECT_EQ(store_->Find("two"), nullptr);
}

TEST_F(ParameterStoreTest, ForInferenceHasNoGradients) {
  ASSERT_OK_AND_ASSIGN(const auto store,
                       ParameterStore::Create(model_.graph, &backend_, StorePurpose::kInference));
  EXPECT_EQ(store->Find("w")->gradient, nullptr);
  EXPECT_TRUE(store->trainable_gradients().empty());
  ProgramOptions options;
  options.batch = 2;
  options.mode = ProgramMode::kInference;
  EXPECT_OK(Program::Build(model_.graph, store.get(), &backend_, options).status());
  options.mode = ProgramMode::kTraining;
  options.loss = LossKind::kMeanSquaredError;
  EXPECT_THAT(Program::Build(model_.graph, store.get(), &backend_, options).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("for inference")));
}

TEST_F(ParameterStoreTest, TrainableMemoryIsContiguousAndAligned) {
  for (const Parameter& parameter : store_->parameters()) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parameter.value) % 64, 0u) << parameter.name;
  }
  EXPECT_EQ(store_->trainable_values().size(), 64u);  // Four parameters of up to 16 elements.
  EXPECT_EQ(store_->OffsetOf(*store_->Find("s")), 32);
  EXPECT_EQ(store_->trainable_values()[6], 0.0f);  // Padding.
}

TEST_F(ParameterStoreTest, WritesBackWhatItRead) {
  const float first = store_->Find("w")->value[0];
  store_->Find("w")->value[0] = first + 1;
  store_->Find("m")->value[1] = 7;
  Graph graph = model_.graph.Clone();
  ASSERT_OK(store_->WriteTo(&graph));
  EXPECT_EQ(graph.FindInitializer("w")->value.data<float>()[0], first + 1);
  EXPECT_EQ(graph.FindInitializer("m")->value.data<float>()[1], 7);
  EXPECT_EQ(graph.FindInitializer("two")->value.data<float>()[0], 2);
}

TEST_F(ParameterStoreTest, LoadingAnotherModelChangesNothing) {
  Graph other = model_.graph.Clone();
  other.FindInitializer("b")->value = Tensor(DType::kFloat32, {3});
  const float before = store_->Find("w")->value[0];
  other.FindInitializer("w")->value.data<float>()[0] = before + 1;
  EXPECT_THAT(store_->LoadFrom(other),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'b'")));
  EXPECT_EQ(store_->Find("w")->value[0], before);
  other.initializers = {};
  EXPECT_THAT(store_->LoadFrom(other), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'w'")));
  EXPECT_THAT(store_->WriteTo(&other), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ParameterStoreTest, ExportsEffectiveWeights) {
  ASSERT_OK(store_->Reparameterize("w", Halves()));
  const Parameter& w = *store_->Find("w");
  ASSERT_NE(w.effective, w.value);
  ASSERT_OK_AND_ASSIGN(const auto scaling, BlockScaling::Create(store_.get()));
  const uint64_t version = store_->version();
  w.block_scale[0] = 0;
  w.block_scale[1] = 3;
  scaling->ApplyScales();
  EXPECT_NE(store_->version(), version);
  Graph graph = model_.graph.Clone();
  ASSERT_OK(store_->WriteTo(&graph));
  const float* written = graph.FindInitializer("w")->value.data<float>();
  EXPECT_EQ(written[0], 0);
  EXPECT_EQ(written[3], 3 * w.value[3]);
  EXPECT_NE(w.value[0], 0);  // The raw weight survives.
}

TEST_F(ParameterStoreTest, InnerProductsAreTheGradientsOfTheScales) {
  ASSERT_OK(store_->Reparameterize("w", Halves()));
  const Parameter& w = *store_->Find("w");
  ASSERT_OK_AND_ASSIGN(const auto scaling, BlockScaling::Create(store_.get()));
  ProgramOptions options;
  options.batch = 4;
  options.loss = LossKind::kMeanSquaredError;
  ASSERT_OK_AND_ASSIGN(const auto program,
                       Program::Build(model_.graph, store_.get(), &backend_, options));
  FillWithRandomData(*program, options.loss, 8);
  w.block_scale[0] = 0.7f;
  w.block_scale[1] = 1.2f;
  scaling->ApplyScales();
  program->ForwardBackward();
  scaling->ComputeInnerProducts();
  for (int block = 0; block < 2; ++block) {
    const float scale = w.block_scale[block];
    double losses[2];
    for (int side = 0; side < 2; ++side) {
      w.block_scale[block] = scale + (side == 0 ? -1e-2f : 1e-2f);
      scaling->ApplyScales();
      program->Forward();
      losses[side] = program->loss();
    }
    w.block_scale[block] = scale;
    EXPECT_NEAR(w.block_inner_product[block], (losses[1] - losses[0]) / 2e-2, 2e-3);
  }
}

TEST_F(ParameterStoreTest, BlocksMustCoverTheWeightExactlyOnce) {
  auto overlapping = Halves();
  overlapping->runs[1].offset = 2;
  EXPECT_THAT(store_->Reparameterize("w", overlapping),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two blocks")));
  auto short_of_one = Halves();
  short_of_one->runs[1].length = 2;
  EXPECT_THAT(store_->Reparameterize("w", short_of_one),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5 of 6")));
  auto beyond = Halves();
  beyond->runs[1].stride = 2;
  EXPECT_THAT(store_->Reparameterize("w", beyond),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves")));
}

TEST_F(ParameterStoreTest, OnlyWeightsAreReparameterizedAndOnlyOnceAndInTime) {
  EXPECT_THAT(store_->Reparameterize("nothing", Halves()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Reparameterize("m", Halves()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("statistic")));
  ASSERT_OK(store_->Reparameterize("w", Halves()));
  EXPECT_THAT(store_->Reparameterize("w", Halves()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  store_->Freeze();
  EXPECT_THAT(store_->Reparameterize("c", Halves()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace topiary
