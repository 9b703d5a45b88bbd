#include "worker/kernels/reference/reference_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "worker/kernels/conformance/conformance_case.h"
#include "worker/kernels/conformance/conformance_runner.h"
#include "worker/kernels/operand_order.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::FloatNear;

// Agreement with itself is trivial; guards, aliasing and repetition are not.
TEST(ReferenceBackend, WritesWhereItMayAndGivesTheSameInPlace) {
  ReferenceBackend backend;
  for (const ConformanceCase& test_case : AllConformanceCases()) {
    SCOPED_TRACE(test_case.name);
    CheckConformance(&backend, test_case);
  }
}

TensorDescription F32(const Shape& shape) { return {shape, DType::kFloat32, Layout::Plain()}; }

// Runs `op` over the operands' values, in place.
void RunOnce(const OpDescription& op, const std::vector<std::vector<float>*>& operands) {
  ReferenceBackend backend;
  auto kernel = backend.Plan(op);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  std::vector<void*> buffers;
  for (std::vector<float>* operand : operands) buffers.push_back(operand->data());
  (*kernel)->Bind(buffers, nullptr);
  (*kernel)->Run();
}

TEST(ReferenceBackend, MatMulMultipliesRowsByColumns) {
  std::vector<float> a = {1, 2, 3, 4}, b = {5, 6, 7, 8}, bias = {1, -100}, dst(4);
  MatMulParameters p;
  p.has_bias = true;
  p.fused_relu = true;
  RunOnce({OpKind::kMatMul, p, {F32({2, 2}), F32({2, 2}), F32({2}), F32({2, 2})}},
          {&a, &b, &bias, &dst});
  EXPECT_THAT(dst, ElementsAre(20, 0, 44, 0));
}

TEST(ReferenceBackend, ConvolutionIsACrossCorrelationWithPadding) {
  // One channel, [1 2 3; 4 5 6; 7 8 9] with the kernel [1 0; 0 2], padded by one row and column
  // before.
  std::vector<float> src = {1, 2, 3, 4, 5, 6, 7, 8, 9}, weights = {1, 0, 0, 2}, dst(9);
  const ConvolutionParameters p{{1, 1}, {1, 1}, {1, 1}, {0, 0}};
  RunOnce(
      {OpKind::kConvolutionForward, p, {F32({1, 1, 3, 3}), F32({1, 1, 2, 2}), F32({1, 1, 3, 3})}},
      {&src, &weights, &dst});
  EXPECT_THAT(dst, ElementsAre(2, 4, 6, 8, 11, 14, 14, 20, 23));
}

TEST(ReferenceBackend, GroupsDoNotMix) {
  std::vector<float> src = {1, 10}, weights = {2, 3}, dst(2);
  ConvolutionParameters p{{1}, {1}, {0}, {0}};
  p.groups = 2;
  RunOnce({OpKind::kConvolutionForward, p, {F32({1, 2, 1}), F32({2, 1, 1}), F32({1, 2, 1})}},
          {&src, &weights, &dst});
  EXPECT_THAT(dst, ElementsAre(2, 30));
}

TEST(ReferenceBackend, BatchNormKeepsTheUnbiasedVarianceOfTheBatchAsPyTorchDoes) {
  // Values 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14 / 3.
  std::vector<float> src = {1, 2, 3, 6}, scale = {2}, bias = {1}, mean = {10}, variance = {1};
  std::vector<float> dst(4), saved_mean(1), inverse_std(1);
  BatchNormParameters p;
  p.epsilon = 0.5f;
  p.momentum = 0.9f;
  RunOnce({OpKind::kBatchNormForwardTraining,
           p,
           {F32({4, 1}), F32({1}), F32({1}), F32({1}), F32({1}), F32({4, 1}), F32({1}), F32({1})}},
          {&src, &scale, &bias, &mean, &variance, &dst, &saved_mean, &inverse_std});
  EXPECT_THAT(dst, ElementsAre(-1, 0, 1, 4));  // (x - 3) / sqrt(3.5 + 0.5) * 2 + 1.
  EXPECT_THAT(mean, ElementsAre(FloatEq(0.9f * 10 + 0.1f * 3)));
  EXPECT_THAT(variance, ElementsAre(FloatEq(0.9f + 0.1f * 14 / 3)));
  EXPECT_THAT(inverse_std, ElementsAre(0.5f));
}

TEST(ReferenceBackend, RunningMomentumOfTheStepReplacesThePlannedOne) {
  std::vector<float> src = {2, 4}, scale = {1}, bias = {0}, mean = {100}, variance = {100};
  std::vector<float> dst(2), saved_mean(1), inverse_std(1);
  StepScalars scalars;
  scalars.running_momentum = 0;
  BatchNormParameters p;
  p.scalars = &scalars;
  RunOnce({OpKind::kBatchNormForwardTraining,
           p,
           {F32({2, 1}), F32({1}), F32({1}), F32({1}), F32({1}), F32({2, 1}), F32({1}), F32({1})}},
          {&src, &scale, &bias, &mean, &variance, &dst, &saved_mean, &inverse_std});
  EXPECT_THAT(mean, ElementsAre(3));
  EXPECT_THAT(variance, ElementsAre(2));
}

TEST(ReferenceBackend, TheFirstOfEqualMaximaReceivesTheGradient) {
  ReferenceBackend backend;
  PoolParameters p{PoolKind::kMax, {2}, {2}, {1}, {0}, {0}, false, {}, true};
  std::vector<float> src = {7, 7, 1, 3}, dst(2), d_dst = {5, 6}, d_src(4), workspace(2);
  RunOnce({OpKind::kPoolForward,
           p,
           {F32({1, 1, 4}), F32({1, 1, 2}), {Shape({0}), DType::kUint8, Layout::Any()}}},
          {&src, &dst, &workspace});
  EXPECT_THAT(dst, ElementsAre(7, 3));
  RunOnce({OpKind::kPoolBackward,
           p,
           {F32({1, 1, 2}), {Shape({8}), DType::kUint8, Layout::Plain()}, F32({1, 1, 4})}},
          {&d_dst, &workspace, &d_src});
  EXPECT_THAT(d_src, ElementsAre(5, 0, 0, 6));
}

TEST(ReferenceBackend, AverageCountsExplicitPaddingOnlyIfTold) {
  PoolParameters p{PoolKind::kAverage, {3}, {2}, {1}, {1}, {2}, false, {1}, false};
  std::vector<float> src = {3, 6, 12, 6}, dst(3);
  const OpDescription op{OpKind::kPoolForward, p, {F32({1, 1, 4}), F32({1, 1, 3})}};
  RunOnce(op, {&src, &dst});
  EXPECT_THAT(dst, ElementsAre(4.5f, 8, 6));  // Windows (3 6), (6 12 6), (6).
  p.count_include_pad = true;
  RunOnce({OpKind::kPoolForward, p, op.operands}, {&src, &dst});
  EXPECT_THAT(dst, ElementsAre(3, 8, 3));  // Divisors 3, 3, 2: the last pad is ceil_mode's.
}

TEST(ReferenceBackend, CrossEntropyOfEqualLogitsIsTheLogarithmOfTheClasses) {
  ReferenceBackend backend;
  std::vector<float> logits = {5, 5, 5, 5}, loss(1), gradient(4);
  int32_t label = 2;
  LossParameters p;
  p.has_gradient = true;
  auto kernel = backend.Plan(
      {OpKind::kSoftmaxCrossEntropy,
       p,
       {F32({1, 4}), {Shape({1}), DType::kInt32, Layout::Plain()}, F32({1}), F32({1, 4})}});
  ASSERT_TRUE(kernel.ok());
  void* const buffers[] = {logits.data(), &label, loss.data(), gradient.data()};
  (*kernel)->Bind(buffers, nullptr);
  (*kernel)->Run();
  EXPECT_FLOAT_EQ(loss[0], std::log(4.0f));
  EXPECT_THAT(gradient, ElementsAre(0.25f, 0.25f, -0.75f, 0.25f));
}

TEST(ReferenceBackend, BinaryCrossEntropyMatchesItsDefinition) {
  std::vector<float> logits = {2, -1}, targets = {1, 0.25f}, loss(1), gradient(2);
  LossParameters p;
  p.has_gradient = true;
  RunOnce({OpKind::kBinaryCrossEntropyWithLogits, p, {F32({2}), F32({2}), F32({1}), F32({2})}},
          {&logits, &targets, &loss, &gradient});
  const double q = 1 / (1 + std::exp(1.0));
  const double p0 = 1 / (1 + std::exp(-2.0));
  const double want = (-std::log(p0) - 0.25 * std::log(q) - 0.75 * std::log(1 - q)) / 2;
  EXPECT_NEAR(loss[0], want, 1e-6);
  EXPECT_THAT(gradient,
              ElementsAre(FloatNear((p0 - 1) / 2, 1e-6), FloatNear((q - 0.25) / 2, 1e-6)));
}

// Of two classes by hand: probabilities at half the logits.
TEST(ReferenceBackend, DistillationMatchesItsDefinition) {
  std::vector<float> logits = {2, 0}, teacher = {-2, 2}, loss(1), gradient(2);
  LossParameters p;
  p.has_gradient = true;
  p.temperature = 2;
  RunOnce({OpKind::kDistillation, p, {F32({1, 2}), F32({1, 2}), F32({1}), F32({1, 2})}},
          {&logits, &teacher, &loss, &gradient});
  const double q0 = 1 / (1 + std::exp(-1.0)), p0 = 1 / (1 + std::exp(2.0));
  const double divergence = p0 * std::log(p0 / q0) + (1 - p0) * std::log((1 - p0) / (1 - q0));
  EXPECT_NEAR(loss[0], 4 * divergence, 1e-6);
  EXPECT_THAT(gradient,
              ElementsAre(FloatNear(2 * (q0 - p0), 1e-6), FloatNear(2 * (p0 - q0), 1e-6)));

  logits = teacher = {3, 1};
  RunOnce({OpKind::kDistillation, p, {F32({1, 2}), F32({1, 2}), F32({1}), F32({1, 2})}},
          {&logits, &teacher, &loss, &gradient});
  EXPECT_EQ(loss[0], 0);
  EXPECT_THAT(gradient, ElementsAre(0, 0));
}

TEST(ReferenceBackend, APrunedBlockKeepsItsValueAndItsSlots) {
  auto blocks = std::make_shared<BlockRuns>();
  blocks->runs = {{0, 2, 1, 0}, {2, 2, 1, 1}};
  blocks->block_count = 2;
  UpdateScalars scalars;
  scalars.learning_rate = 0.5f;
  OptimizerParameters p;
  p.momentum = 0.5f;
  p.weight_decay = 1;
  p.runs = blocks;
  p.scalars = &scalars;
  std::vector<float> value = {1, 2, 3, 4}, gradient = {1, 1, 1, 1}, slot = {2, 2, 2, 2};
  std::vector<float> scale = {0, 3};
  RunOnce({OpKind::kOptimizerUpdate, p, {F32({4}), F32({4}), F32({4}), F32({2})}},
          {&value, &gradient, &slot, &scale});
  // Second block: g = 3 * 1 + w, m = 0.5 * 2 + g, w -= 0.5 * m.
  EXPECT_THAT(value, ElementsAre(1, 2, 3 - 0.5f * 7, 4 - 0.5f * 8));
  EXPECT_THAT(slot, ElementsAre(2, 2, 7, 8));
}

TEST(ReferenceBackend, RefusesOpaqueLayouts) {
  class Foreign : public OpaqueLayout {
    size_t bytes() const override { return 16; }
    bool Equals(const OpaqueLayout&) const override { return false; }
    std::string ToString() const override { return "foreign"; }
  };
  ReferenceBackend backend;
  const TensorDescription operand{
      {4}, DType::kFloat32, Layout::Opaque(std::make_shared<Foreign>())};
  EXPECT_TRUE(absl::IsUnimplemented(
      backend.Plan({OpKind::kUnaryForward, UnaryParameters(), {operand, operand}}).status()));
}

TEST(ReferenceBackend, AllocatesZeroedAlignedMemory) {
  ReferenceBackend backend;
  auto buffer = backend.Allocate(100);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(static_cast<char*>(buffer->data())[i], 0);
  EXPECT_TRUE(absl::IsResourceExhausted(backend.Allocate(SIZE_MAX - 10).status()));
}

}  // namespace
}  // namespace topiary
