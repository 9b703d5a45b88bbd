#include "worker/pipeline/latency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

Dataset EightExamples() {
  Dataset data;
  Tensor x(DType::kFloat32, Shape({8, 8}));
  for (int64_t i = 0; i < x.element_count(); ++i) x.data<float>()[i] = static_cast<float>(i % 5);
  data.inputs.push_back({"x", std::move(x)});
  return data;
}

// Every second block of fc2.weight, the matrix [32, 24].
SparseWeights HalfOfFc2() {
  std::vector<uint8_t> kept(48);
  for (size_t i = 0; i < kept.size(); ++i) kept[i] = i % 2;
  return {{"fc2.weight", std::make_shared<const BlockSparsePattern>(
                             *BlockSparsePattern::Create(32, 24, 4, 4, kept))}};
}

absl::Status GoOn() { return absl::OkStatus(); }

absl::StatusOr<LatencyReport> Measure(const SparseWeights& kept, int64_t batch,
                                      const std::function<absl::Status()>& check = GoOn,
                                      double break_even = 0.5) {
  ReferenceBackend backend;
  FixedLayerCosts costs(break_even);
  return MeasureLatency(MlpGraph(), kept, &costs, &backend, EightExamples(), batch, check);
}

TEST(Latency, OfAPrunedModelIsThatOfBothWays) {
  ASSERT_OK_AND_ASSIGN(const LatencyReport report, Measure(HalfOfFc2(), 4));
  EXPECT_EQ(report.batch, 4);
  EXPECT_GE(report.runs, 5);
  EXPECT_LE(report.runs, 200);
  EXPECT_GT(report.dense.p50, 0);
  EXPECT_GE(report.dense.p95, report.dense.p50);
  ASSERT_TRUE(report.block_sparse.has_value());
  EXPECT_GE(report.block_sparse->p95, report.block_sparse->p50);
  EXPECT_THAT(report.sparse_weights, testing::ElementsAre("fc2.weight"));
}

TEST(Latency, NamesOnlyWhatWasLeftOut) {
  SparseWeights weights = HalfOfFc2();
  weights["fc1.weight"] = weights["fc2.weight"];  // The pattern of another matrix is not used.
  ASSERT_OK_AND_ASSIGN(LatencyReport report, Measure(weights, 4));
  EXPECT_THAT(report.sparse_weights, testing::ElementsAre("fc2.weight"));
  weights.erase("fc2.weight");
  ASSERT_OK_AND_ASSIGN(report, Measure(weights, 4));
  EXPECT_THAT(report.sparse_weights, testing::IsEmpty());
  EXPECT_FALSE(report.block_sparse.has_value());
}

TEST(Latency, LeavesNothingOutWhereThatDoesNotPay) {
  ASSERT_OK_AND_ASSIGN(LatencyReport report, Measure(HalfOfFc2(), 4, GoOn, 0.5));
  EXPECT_THAT(report.break_even_sparsity, testing::ElementsAre(testing::Pair("fc2.weight", 0.5)));
  ASSERT_OK_AND_ASSIGN(report, Measure(HalfOfFc2(), 4, GoOn, 0.25));
  EXPECT_THAT(report.break_even_sparsity, testing::ElementsAre(testing::Pair("fc2.weight", 0.75)));
  EXPECT_THAT(report.sparse_weights, testing::IsEmpty());
  EXPECT_FALSE(report.block_sparse.has_value());
}

TEST(Latency, OfADenseModelHasOneWay) {
  // More rows than there are examples.
  ASSERT_OK_AND_ASSIGN(const LatencyReport report, Measure({}, 20));
  EXPECT_EQ(report.batch, 20);
  EXPECT_FALSE(report.block_sparse.has_value());
  EXPECT_THAT(report.sparse_weights, testing::IsEmpty());
}

TEST(Latency, EndsWhenItIsToldTo) {
  int asked = 0;
  const auto check = [&] { return ++asked < 5 ? absl::OkStatus() : absl::CancelledError("stop"); };
  EXPECT_THAT(Measure({}, 1, check), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(asked, 5);
}

}  // namespace
}  // namespace topiary
